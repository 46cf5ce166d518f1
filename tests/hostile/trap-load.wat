;; what: Reads outside its memory.
;; call: verify
;; outcome: trap

(func $verify (param i32 i32) (result i32)
  (i32.load (i32.const 0xfffffffc)))
