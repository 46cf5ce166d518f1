;; what: Grows a table past its own maximum, forever.
;; call: verify
;; outcome: limit-table

(table $table 1 1 funcref)
(func $verify (param i32 i32) (result i32)
  (loop $again
    (drop (table.grow $table (ref.null func) (i32.const 1)))
    (br $again))
  unreachable)
