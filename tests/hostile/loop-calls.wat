;; what: Loops by calling through a table.
;; call: verify
;; outcome: limit-cpu

(type $nothing (func))
(table 1 funcref)
(elem (i32.const 0) $empty)
(func $empty)
(func $verify (param i32 i32) (result i32)
  (loop $again
    (call_indirect (type $nothing) (i32.const 0))
    (br $again))
  unreachable)
