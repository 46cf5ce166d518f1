;; what: Rejects with a message of 200,000 bytes, which the host truncates.
;; call: verify
;; outcome: rejected malformed

(memory $memory 20)
(func $verify (param i32 i32) (result i32)
  (memory.fill (i32.const 0x20000) (i32.const 0x78) (i32.const 200_000))
  (drop (call $reject (i32.const 0)))
  (i32.store offset=20 (global.get $verdict) (i32.const 0x20000))
  (i32.store offset=24 (global.get $verdict) (i32.const 200_000))
  (global.get $verdict))
