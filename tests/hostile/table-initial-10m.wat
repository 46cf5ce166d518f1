;; what: Begins with ten million table elements.
;; call: load
;; outcome: limit-table

(table 10_000_000 funcref)
