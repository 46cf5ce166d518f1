;; what: Grows a table by 100 elements at a time without end.
;; call: verify
;; outcome: limit-table

(table $table 1 funcref)
(func $verify (param i32 i32) (result i32)
  (loop $again
    (drop (table.grow $table (ref.null func) (i32.const 100)))
    (br $again))
  unreachable)
