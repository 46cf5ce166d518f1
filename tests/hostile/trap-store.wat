;; what: Writes outside its memory.
;; call: verify
;; outcome: trap

(func $verify (param i32 i32) (result i32)
  (i32.store (i32.const 0x1ffff) (i32.const 0))
  (call $accept))
