;; what: Writes bidirectional overrides, zero-width characters and line separators.
;; call: verify
;; outcome: ok

(import "keyward:handler/log@0.1.0" "write" (func $log (param i32 i32 i32)))

(data $message "\e2\80\aeecila\e2\80\8b\e2\81\a6 \e2\80\a8 \e2\80\a9 \ef\bb\bf")
(func $verify (param i32 i32) (result i32)
  (call $log (i32.const 1) (global.get $message.ptr) (global.get $message.len))
  (call $accept))
