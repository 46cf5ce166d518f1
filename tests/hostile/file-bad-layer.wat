;; what: Is a file of a layer that is neither a module nor a component.
;; call: load
;; outcome: invalid
;; bytes: bad-layer
