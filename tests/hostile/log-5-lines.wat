;; what: Writes five lines to the log, few enough to finish in a moment.
;; call: verify
;; outcome: ok

(import "keyward:handler/log@0.1.0" "write" (func $log (param i32 i32 i32)))

(func $verify (param i32 i32) (result i32)
  (local $n i32)
  (loop $again
    (call $log (i32.const 1) (global.get $message.ptr) (global.get $message.len))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 5))))
  (call $accept))
