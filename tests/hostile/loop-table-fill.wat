;; what: Evades the clock with table.fill: 20,000 elements at a time, forever.
;; call: verify
;; outcome: limit-cpu

(table $table 20000 funcref)
(func $verify (param i32 i32) (result i32)
  (loop $again
    (table.fill $table (i32.const 0) (ref.null func) (i32.const 20000))
    (br $again))
  unreachable)
