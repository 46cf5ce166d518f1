;; what: Looks up a secret that is not UTF-8.
;; call: verify
;; outcome: bad-result
;; grants: secrets

(import "keyward:handler/secrets@0.1.0" "find" (func $find (param i32 i32 i32)))

(data $message "\ff")
(func $verify (param i32 i32) (result i32)
  (call $find (global.get $message.ptr) (global.get $message.len) (global.get $out))
  (call $accept))
