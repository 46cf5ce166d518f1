;; what: Calls a function that does not exist.
;; call: load
;; outcome: invalid

(component
  (core module
    (func (call 7))))
