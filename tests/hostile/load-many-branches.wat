;; what: Has 15,001 conditional branches in a function.
;; call: load
;; outcome: too-complex

(func (param i32)
  (block (repeat 15001 (br_if 0 (local.get 0)))))
