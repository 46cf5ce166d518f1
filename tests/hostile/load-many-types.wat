;; what: 30,000 types.
;; call: load
;; outcome: too-complex

(component
  (repeat 30000 (type (list u8))))
