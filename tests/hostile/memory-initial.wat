;; what: Starts with one page more than 16 MiB of memory.
;; call: load
;; outcome: limit-memory

(memory $memory 257)
