;; what: Lifts a core function of another type.
;; call: load
;; outcome: invalid

(component
  (core module $m (func (export "f")))
  (core instance $i (instantiate $m))
  (func (result u32) (canon lift (core func $i "f"))))
