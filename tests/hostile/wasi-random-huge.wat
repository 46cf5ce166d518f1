;; what: Asks for a terabyte of random bytes.
;; call: verify
;; outcome: forbidden-call
;; grants: wasi
;; world: wasi

(import "wasi:random/random@0.2.0" "get-random-bytes" (func $random (param i64 i32)))

(func $verify (param i32 i32) (result i32)
  (call $random (i64.const 0x100_0000_0000) (global.get $out))
  (call $accept))
