;; what: Begins with 4 GiB.
;; call: load
;; outcome: too-complex

(memory $memory 65536)
