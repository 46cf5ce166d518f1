;; what: Is an empty component.
;; call: load
;; outcome: missing-export

(component)
