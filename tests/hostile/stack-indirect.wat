;; what: Recurses endlessly through a table.
;; call: verify
;; outcome: limit-stack

(type $number (func (result i32)))
(table 1 funcref)
(elem (i32.const 0) $down)
(func $down (type $number)
  (i32.add (call_indirect (type $number) (i32.const 0)) (i32.const 1)))
(func $verify (param i32 i32) (result i32)
  (call $down))
