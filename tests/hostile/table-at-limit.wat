;; what: No attack: 20,000 table elements, the limit itself.
;; call: verify+create
;; outcome: ok

(table 20_000 funcref)
