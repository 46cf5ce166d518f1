;; what: Waits, in `identify`, for an endpoint that never responds.
;; call: identify
;; outcome: store
;; grants: silent-http
;; world: token-and-session
;; base: session-benign

(import "keyward:handler/http@0.1.0" "send" (func $send (param i32 i32 i32 i32 i32)))
(data $label "mine")

(func $identify (type $identify)
  (call $send (global.get $label.ptr) (global.get $label.len) (i32.const 0) (i32.const 0) (global.get $out))
  (call $accept))
