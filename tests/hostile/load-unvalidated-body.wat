;; what: A function leaves nothing where it owes a number.
;; call: load
;; outcome: invalid

(component
  (core module
    (func (result i32))))
