;; what: Calls a function through a table with the wrong type.
;; call: verify
;; outcome: trap

(type $number (func (result i32)))
(type $nothing (func))
(table 1 funcref)
(elem (i32.const 0) $empty)
(func $empty (type $nothing))
(func $verify (param i32 i32) (result i32)
  (call_indirect (type $number) (i32.const 0)))
