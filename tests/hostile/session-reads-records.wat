;; what: Looks up a record, although a session has none.
;; call: identify
;; outcome: forbidden-call
;; grants: store
;; world: token-and-session
;; base: session-benign

(import "keyward:handler/store@0.1.0" "find" (func $find (param i32 i32 i32)))
(func $identify (type $identify)
  (call $find (global.get $message.ptr) (global.get $message.len) (global.get $out))
  (call $accept))
