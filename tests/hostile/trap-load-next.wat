;; what: Reads the first byte after its memory.
;; call: verify
;; outcome: trap

(func $verify (param i32 i32) (result i32)
  (i32.load8_u (i32.const 0x20000)))
