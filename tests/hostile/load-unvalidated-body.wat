;; what: Has a function body that does not leave the result that its type declares.
;; call: load
;; outcome: invalid

(component
  (core module
    (func (result i32))))
