;; what: Declares a section size of more than 32 bits.
;; call: load
;; outcome: invalid
;; bytes: leb-overflow
