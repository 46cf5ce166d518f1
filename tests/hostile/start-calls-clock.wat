;; what: Control: reads the clock and writes to the log during instantiation.
;; call: verify+create
;; outcome: ok

(import "keyward:handler/clock@0.1.0" "now" (func $now (param i32)))
(import "keyward:handler/log@0.1.0" "write" (func $log (param i32 i32 i32)))

(func (export "_initialize")
  (call $now (global.get $out))
  (call $log (i32.const 1) (global.get $message.ptr) (global.get $message.len)))
