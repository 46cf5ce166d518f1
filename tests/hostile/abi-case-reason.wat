;; what: Rejects with reason 7, although the last is 6.
;; call: verify
;; outcome: bad-result

(func $verify (param i32 i32) (result i32)
  (call $reject (i32.const 7)))
