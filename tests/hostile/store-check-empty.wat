;; what: Checks an empty secret against an empty id.
;; call: verify
;; outcome: rejected unknown
;; grants: store

(import "keyward:handler/store@0.1.0" "check-secret" (func $check (param i32 i32 i32 i32 i32)))

(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $check (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (global.get $out))
  (if (i32.load8_u (global.get $out)) (then (return (call $accept))))
  (call $reject (i32.const 6)))
