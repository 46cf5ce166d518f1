;; what: Looks up another handler's record by its secret.
;; call: verify
;; outcome: rejected unknown
;; grants: store

(import "keyward:handler/store@0.1.0" "find-secret" (func $find-secret (param i32 i32 i32)))

(data $secret "secret-of-the-victims")
(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $find-secret (global.get $secret.ptr) (global.get $secret.len) (global.get $out))
  (if (i32.load8_u (global.get $out)) (then (return (call $accept))))
  (call $reject (i32.const 6)))
