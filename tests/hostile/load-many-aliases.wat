;; what: Has 20,001 aliases.
;; call: load
;; outcome: too-complex

(component
  (core module $m (func (export "f")))
  (core instance $i (instantiate $m))
  (repeat 20001 (alias core export $i "f" (core func))))
