;; what: Starts with 4 GiB of memory.
;; call: load
;; outcome: too-complex

(memory $memory 65536)
