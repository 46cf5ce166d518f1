;; what: Reads the clock twice with work in between, and gets the same time both times.
;; call: verify
;; outcome: rejected unknown

(import "keyward:handler/clock@0.1.0" "now" (func $now (param i32)))

(func $verify (param i32 i32) (result i32)
  (local $n i32)
  (local $seconds i64)
  (local $nanoseconds i32)
  (call $now (global.get $out))
  (local.set $seconds (i64.load (global.get $out)))
  (local.set $nanoseconds (i32.load offset=8 (global.get $out)))
  (loop $work
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $work (i32.lt_u (local.get $n) (i32.const 1_000_000))))
  (call $now (global.get $out))
  (if (i64.ne (local.get $seconds) (i64.load (global.get $out))) (then (return (call $accept))))
  (if (i32.ne (local.get $nanoseconds) (i32.load offset=8 (global.get $out))) (then (return (call $accept))))
  (call $reject (i32.const 6)))
