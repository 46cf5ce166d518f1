;; what: Uses error contexts.
;; call: load
;; outcome: invalid

(component
  (core func (canon error-context.drop)))
