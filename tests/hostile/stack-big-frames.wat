;; what: Recurses endlessly with frames of 40 KiB: 5,000 numbers live across the call.
;; call: verify
;; outcome: limit-stack

(type $push (func (result (repeat 100 i64))))
(type $eat (func (param (repeat 100 i64))))
(table 2 funcref)
(elem (i32.const 0) $hundred $eaten)
(global $sum (mut i64) (i64.const 0))

(func $hundred (type $push)
  (repeat 100 (i64.load offset=0 (i32.const {i}))))
(func $eaten (type $eat)
  (repeat 100 (global.set $sum (i64.add (global.get $sum) (local.get {i})))))

(func $down
  (repeat 50 (call_indirect (type $push) (i32.const 0)))
  (call $down)
  (repeat 50 (call_indirect (type $eat) (i32.const 1))))
(func $verify (param i32 i32) (result i32)
  (call $down)
  (call $accept))
