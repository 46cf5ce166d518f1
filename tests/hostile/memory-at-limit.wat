;; what: No attack: 16 MiB of memory, the limit itself.
;; call: verify+create
;; outcome: ok

(memory $memory 256)
