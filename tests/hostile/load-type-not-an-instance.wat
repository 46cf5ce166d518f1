;; what: Exports a function instead of the interface.
;; call: load
;; outcome: missing-export

(component
  (core module $m (func (export "f") (result i32) (i32.const 0)))
  (core instance $i (instantiate $m))
  (func $f (result u32) (canon lift (core func $i "f")))
  (export "keyward:handler/token-handler@0.1.0" (func $f)))
