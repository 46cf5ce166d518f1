;; what: Has a type with 2^40 leaves in 200 bytes.
;; call: load
;; outcome: invalid

(component
  (type (tuple u8 u8))
  (repeat 40 (type (tuple {i} {i}))))
