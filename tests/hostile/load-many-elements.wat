;; what: Fills a table with 100,001 functions.
;; call: load
;; outcome: too-complex

(table $big 100001 funcref)
(func $element)
(elem (table $big) (i32.const 0) func (repeat 100001 $element))
