;; what: Returns its whole memory as the actor: 15 MiB of spaces.
;; call: verify
;; outcome: limit-host-bytes

(memory $memory 242)
(func $verify (param i32 i32) (result i32)
  (memory.fill (i32.const 0x20000) (i32.const 0x20) (i32.const 0xf00000))
  (drop (call $accept))
  (i32.store offset=16 (global.get $verdict) (i32.const 0x20000))
  (i32.store offset=20 (global.get $verdict) (i32.const 0xf00000))
  (global.get $verdict))
