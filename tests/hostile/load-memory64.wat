;; what: Uses a memory with 64-bit addresses.
;; call: load
;; outcome: invalid

(component
  (core module
    (memory i64 1)))
