;; what: Has a thousand core instances of one module.
;; call: load
;; outcome: too-complex

(component
  (core module $m)
  (repeat 1000 (core instance (instantiate $m))))
