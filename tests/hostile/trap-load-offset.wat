;; what: Reads at an address and an offset whose sum overflows 32 bits.
;; call: verify
;; outcome: trap

(func $verify (param i32 i32) (result i32)
  (i32.load offset=0xffffffff (i32.const 0xffffffff)))
