;; what: Creates 100^4 core instances in a few hundred bytes (aborts wasmtime 48.0.8's compiler).
;; call: load
;; outcome: too-complex

(component
  (component $a
    (core module $m)
    (repeat 100 (core instance (instantiate $m))))
  (component $b
    (component $a
      (core module $m)
      (repeat 100 (core instance (instantiate $m))))
    (repeat 100 (instance (instantiate $a))))
  (component $c
    (component $b
      (component $a
        (core module $m)
        (repeat 100 (core instance (instantiate $m))))
      (repeat 100 (instance (instantiate $a))))
    (repeat 100 (instance (instantiate $b))))
  (repeat 100 (instance (instantiate $c))))
