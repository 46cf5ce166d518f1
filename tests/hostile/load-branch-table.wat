;; what: Has 60,001 targets in the branch tables of a function.
;; call: load
;; outcome: too-complex

(func (param i32)
  (block (br_table (repeat 30000 0) 0 (local.get 0)))
  (block (br_table (repeat 30001 0) 0 (local.get 0))))
