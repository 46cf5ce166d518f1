;; what: Calls a table element that does not exist.
;; call: verify
;; outcome: trap

(type $number (func (result i32)))
(table 1 funcref)
(func $verify (param i32 i32) (result i32)
  (call_indirect (type $number) (i32.const 0xffffffff)))
