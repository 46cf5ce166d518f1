;; what: Requests ten million table elements in the start function.
;; call: load
;; outcome: limit-table

(table $table 1 funcref)
(func $begin (drop (table.grow $table (ref.null func) (i32.const 10_000_000))))
(start $begin)
