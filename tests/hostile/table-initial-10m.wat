;; what: Starts with ten million table elements.
;; call: load
;; outcome: too-complex

(table 10_000_000 funcref)
