;; what: Uses component values and a component start function.
;; call: load
;; outcome: invalid

(component
  (component
    (import "v" (value $v u32))
    (func $f (import "f") (param "x" u32))
    (start $f (value $v))))
