;; what: Control: reads the clock 1,200 times, more than half of what a call may, and then computes too long to run only once.
;; call: verify
;; outcome: ok

(import "keyward:handler/clock@0.1.0" "now" (func $now (param i32)))

(func $verify (param i32 i32) (result i32)
  (local $n i32)
  (loop $again
    (call $now (global.get $out))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 1_200))))
  (loop $again
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 20_000_000))))
  (call $accept))
