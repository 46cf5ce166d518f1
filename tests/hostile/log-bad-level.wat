;; what: Writes a line of level 4, although the last is 3.
;; call: verify
;; outcome: bad-result

(import "keyward:handler/log@0.1.0" "write" (func $log (param i32 i32 i32)))

(func $verify (param i32 i32) (result i32)
  (call $log (i32.const 4) (global.get $message.ptr) (global.get $message.len))
  (call $accept))
