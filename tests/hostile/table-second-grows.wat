;; what: Has two tables and grows the second until both together exceed the limit.
;; call: verify
;; outcome: limit-table

(table $first 10_000 funcref)
(table $second 9_000 funcref)
(func $verify (param i32 i32) (result i32)
  (drop (table.grow $second (ref.null func) (i32.const 1_001)))
  (call $accept))
