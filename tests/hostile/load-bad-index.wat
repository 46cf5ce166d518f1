;; what: Calls a function that is not there.
;; call: load
;; outcome: invalid

(component
  (core module
    (func (call 7))))
