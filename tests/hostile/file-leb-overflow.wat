;; what: A section has a size of more than 32 bits.
;; call: load
;; outcome: invalid
;; bytes: leb-overflow
