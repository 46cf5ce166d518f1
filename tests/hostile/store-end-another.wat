;; what: Accepts a token and revokes another handler's record.
;; call: verify
;; outcome: rejected revoked
;; grants: store

(import "keyward:handler/store@0.1.0" "end" (func $end (param i32 i32)))

(data $id "victims")
(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $end (global.get $id.ptr) (global.get $id.len))
  (call $accept))
