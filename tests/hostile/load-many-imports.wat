;; what: 20,000 imports.
;; call: load
;; outcome: too-complex

(component
  (repeat 20000 (import "i{i}" (func))))
