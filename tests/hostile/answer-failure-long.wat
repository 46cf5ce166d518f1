;; what: Fails with a text of 200,000 bytes, which the host truncates.
;; call: verify
;; outcome: unavailable

(memory $memory 20)
(func $verify (param i32 i32) (result i32)
  (memory.fill (i32.const 0x20000) (i32.const 0x78) (i32.const 200_000))
  (i32.store8 offset=0 (global.get $verdict) (i32.const 1))
  (i32.store8 offset=8 (global.get $verdict) (i32.const 0))
  (i32.store offset=12 (global.get $verdict) (i32.const 0x20000))
  (i32.store offset=16 (global.get $verdict) (i32.const 200_000))
  (global.get $verdict))
