;; what: Checks a secret that is not UTF-8.
;; call: verify
;; outcome: bad-result
;; grants: store

(import "keyward:handler/store@0.1.0" "check-secret" (func $check (param i32 i32 i32 i32 i32)))

(data $secret "\ff\fe")
(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $check
    (i32.const 0) (i32.const 0) (global.get $secret.ptr) (global.get $secret.len) (global.get $out))
  (call $accept))
