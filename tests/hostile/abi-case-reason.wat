;; what: Rejects with reason 7; there are seven, from 0.
;; call: verify
;; outcome: bad-result

(func $verify (param i32 i32) (result i32)
  (call $reject (i32.const 7)))
