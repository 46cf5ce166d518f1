;; what: A component with nothing in it.
;; call: load
;; outcome: missing-export

(component)
