;; what: Its initial table elements lie outside of the table.
;; call: load
;; outcome: trap

(table 1 funcref)
(elem (i32.const 1) $accept)
