;; what: Uses a memory with addresses of 64 bits.
;; call: load
;; outcome: invalid

(component
  (core module
    (memory i64 1)))
