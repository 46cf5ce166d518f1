;; what: Is of a layer that is neither module nor component.
;; call: load
;; outcome: not-a-component
;; bytes: bad-layer
