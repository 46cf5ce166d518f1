;; what: Checks the secret of another handler's record, by its id.
;; call: verify
;; outcome: rejected unknown
;; grants: store

(import "keyward:handler/store@0.1.0" "check-secret" (func $check (param i32 i32 i32 i32 i32)))

(data $id "victims")
(data $secret "secret-of-the-victims")
(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $check
    (global.get $id.ptr) (global.get $id.len) (global.get $secret.ptr) (global.get $secret.len) (global.get $out))
  (if (i32.load8_u (global.get $out)) (then (return (call $accept))))
  (call $reject (i32.const 6)))
