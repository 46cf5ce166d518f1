;; what: Imports a component.
;; call: load
;; outcome: too-complex

(component (import "hostile" (component)))
