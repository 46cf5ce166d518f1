;; what: Control: writes a line to the log, then computes for about ten milliseconds, and accepts.
;; call: verify+create
;; outcome: ok

(import "keyward:handler/log@0.1.0" "write" (func $log (param i32 i32 i32)))

(func $verify (param i32 i32) (result i32)
  (call $burn)
  (call $accept))

(func $create (type $create)
  (call $burn)
  (call $give))

(func $burn
  (local $n i32)
  (call $log (i32.const 1) (global.get $message.ptr) (global.get $message.len))
  (loop $again
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 20_000_000)))))
