;; what: Has 30,000 types and no handler.
;; call: load
;; outcome: missing-export

(component
  (repeat 30000 (type (list u8))))
