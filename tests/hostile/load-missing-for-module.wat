;; what: Exports a core module instead of a handler.
;; call: load
;; outcome: missing-export

(component (core module $m) (export "handler" (core module $m)))
