;; what: Has 1,250,000 locals in 250 functions.
;; call: load
;; outcome: too-complex

(repeat 250 (func (local (repeat 5000 i32))))
