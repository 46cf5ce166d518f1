;; what: The result area of `verify` lies outside memory.
;; call: verify
;; outcome: bad-result

(func $verify (param i32 i32) (result i32)
  (i32.const 0xfffffff8))
