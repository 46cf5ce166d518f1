;; what: Control: declares a maximum of 4 GiB and never grows.
;; call: verify+create
;; outcome: ok

(memory $memory 2 65536)
