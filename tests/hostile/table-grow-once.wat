;; what: Requests ten million table elements at once.
;; call: verify
;; outcome: limit-table

(table $table 1 funcref)
(func $verify (param i32 i32) (result i32)
  (drop (table.grow $table (ref.null func) (i32.const 10_000_000)))
  (call $accept))
