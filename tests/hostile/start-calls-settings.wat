;; what: Control: reads settings and randomness during instantiation.
;; call: verify+create
;; outcome: ok

(import "keyward:handler/settings@0.1.0" "get" (func $get (param i32 i32 i32)))
(import "keyward:handler/random@0.1.0" "bytes" (func $random (param i32 i32)))

(func (export "_initialize")
  (call $get (global.get $message.ptr) (global.get $message.len) (global.get $out))
  (call $random (i32.const 32) (global.get $out)))
