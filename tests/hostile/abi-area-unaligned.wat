;; what: The result area of `verify` is not aligned.
;; call: verify
;; outcome: bad-result

(func $verify (param i32 i32) (result i32)
  (i32.const 0x401))
