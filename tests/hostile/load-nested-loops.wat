;; what: Has 101 nested loops in a function: the compiler's cost grows with their cube.
;; call: load
;; outcome: too-complex

(func (param i32)
  (repeat 101 loop)
  (repeat 101 (br_if 0 (local.get 0)) end))
