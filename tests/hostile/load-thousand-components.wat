;; what: Has a thousand instances of one component.
;; call: load
;; outcome: too-complex

(component
  (component $c)
  (repeat 1000 (instance (instantiate $c))))
