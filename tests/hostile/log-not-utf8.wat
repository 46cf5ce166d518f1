;; what: Writes a line that is not UTF-8.
;; call: verify
;; outcome: bad-result

(import "keyward:handler/log@0.1.0" "write" (func $log (param i32 i32 i32)))

(data $message "\ed\a0\80")
(func $verify (param i32 i32) (result i32)
  (call $log (i32.const 1) (global.get $message.ptr) (global.get $message.len))
  (call $accept))
