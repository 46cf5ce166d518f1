;; what: Has 50,000 locals in a function, in 20 bytes.
;; call: load
;; outcome: too-complex

(func (local (repeat 50000 i32)))
