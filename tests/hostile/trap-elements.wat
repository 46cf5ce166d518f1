;; what: Has initial table elements outside its table.
;; call: load
;; outcome: trap

(table 1 funcref)
(elem (i32.const 1) $accept)
