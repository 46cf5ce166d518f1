;; what: Has five tables, each within the limit and together above it.
;; call: load
;; outcome: limit-table

(repeat 5 (table 5_000 funcref))
