;; what: Starts with one table element more than 20,000.
;; call: load
;; outcome: too-complex

(table 20_001 funcref)
