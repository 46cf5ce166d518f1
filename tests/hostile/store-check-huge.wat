;; what: Checks a secret of 1 MiB.
;; call: verify
;; outcome: limit-host-bytes
;; grants: store

(import "keyward:handler/store@0.1.0" "check-secret" (func $check (param i32 i32 i32 i32 i32)))

(memory $memory 20)
(func $verify (param $token i32) (param $token.len i32) (result i32)
  (memory.fill (i32.const 0x20000) (i32.const 0x61) (i32.const 0x100000))
  (call $check
    (i32.const 0) (i32.const 0) (i32.const 0x20000) (i32.const 0x100000) (global.get $out))
  (call $accept))
