;; what: Checks a secret of 64 KiB against an id of 64 KiB.
;; call: verify
;; outcome: rejected unknown
;; grants: store

(import "keyward:handler/store@0.1.0" "check-secret" (func $check (param i32 i32 i32 i32 i32)))

(memory $memory 4)
(func $verify (param $token i32) (param $token.len i32) (result i32)
  (memory.fill (i32.const 0x20000) (i32.const 0x61) (i32.const 0x10000))
  (call $check
    (i32.const 0x20000) (i32.const 0x10000) (i32.const 0x20000) (i32.const 0x10000) (global.get $out))
  (if (i32.load8_u (global.get $out)) (then (return (call $accept))))
  (call $reject (i32.const 6)))
