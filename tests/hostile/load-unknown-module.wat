;; what: Imports a core module.
;; call: load
;; outcome: unknown-import

(component (import "hostile" (core module)))
