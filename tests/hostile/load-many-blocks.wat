;; what: Has 20,000 branches with `if` and `else` in a function: the compiler's cost grows with their square.
;; call: load
;; outcome: too-complex

(func (param i32)
  (repeat 20000 (if (local.get 0) (then) (else))))
