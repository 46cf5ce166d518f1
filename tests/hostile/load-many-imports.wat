;; what: Has 20,000 imports.
;; call: load
;; outcome: unknown-import

(component
  (repeat 20000 (import "i{i}" (func))))
