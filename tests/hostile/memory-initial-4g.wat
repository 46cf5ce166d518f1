;; what: Begins with 4 GiB.
;; call: load
;; outcome: limit-memory

(memory $memory 65536)
