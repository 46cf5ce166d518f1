;; what: Begins with a page more than 16 MiB.
;; call: load
;; outcome: limit-memory

(memory $memory 257)
