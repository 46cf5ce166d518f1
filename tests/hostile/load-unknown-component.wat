;; what: Imports a component.
;; call: load
;; outcome: unknown-import

(component (import "hostile" (component)))
