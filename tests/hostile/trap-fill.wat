;; what: Fills past the end of its memory.
;; call: verify
;; outcome: trap

(func $verify (param i32 i32) (result i32)
  (memory.fill (i32.const 0x10000) (i32.const 0) (i32.const 0x10001))
  (call $accept))
