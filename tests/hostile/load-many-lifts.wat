;; what: Lifts 1,001 functions, each of which the compiler adapts.
;; call: load
;; outcome: too-complex

(component
  (core module $m (func (export "f")))
  (core instance $i (instantiate $m))
  (repeat 1001 (func (canon lift (core func $i "f")))))
