;; what: Is of a layer that is neither module nor component.
;; call: load
;; outcome: invalid
;; bytes: bad-layer
