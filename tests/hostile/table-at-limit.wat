;; what: Control: 20,000 table elements, exactly the limit.
;; call: verify+create
;; outcome: ok

(table 20_000 funcref)
