;; what: Control: 16 MiB of memory, exactly the limit.
;; call: verify+create
;; outcome: ok

(memory $memory 256)
