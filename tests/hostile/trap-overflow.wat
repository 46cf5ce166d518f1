;; what: Divides the smallest integer by -1.
;; call: verify
;; outcome: trap

(func $verify (param i32 i32) (result i32)
  (i32.div_s (i32.const 0x80000000) (i32.const -1)))
