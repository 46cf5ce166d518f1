;; what: Has 20,000 exports, none of which is a handler.
;; call: load
;; outcome: missing-export

(component
  (core module $m (func (export "f")))
  (core instance $i (instantiate $m))
  (func $f (canon lift (core func $i "f")))
  (repeat 20000 (export "e{i}" (func $f))))
