;; what: Writes one line of 200,000 bytes, which the host truncates.
;; call: verify
;; outcome: ok

(import "keyward:handler/log@0.1.0" "write" (func $log (param i32 i32 i32)))

(memory $memory 8)
(func $verify (param i32 i32) (result i32)
  (memory.fill (i32.const 0x20000) (i32.const 0x78) (i32.const 200_000))
  (call $log (i32.const 3) (i32.const 0x20000) (i32.const 200_000))
  (call $accept))
