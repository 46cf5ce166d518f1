;; what: Uses exceptions.
;; call: load
;; outcome: invalid

(component
  (core module
    (tag)))
