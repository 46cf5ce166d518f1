;; what: Accepts a token and revokes a record that does not exist.
;; call: verify
;; outcome: rejected revoked
;; grants: store

(import "keyward:handler/store@0.1.0" "end" (func $end (param i32 i32)))

(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $end (global.get $message.ptr) (global.get $message.len))
  (call $accept))
