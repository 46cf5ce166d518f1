;; what: Measures a loop: the clock advances by its readings, and by nothing else.
;; call: verify
;; outcome: ok
;; grants: wasi
;; world: wasi

(import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))

(func $verify (param i32 i32) (result i32)
  (local $i i32) (local $start i64)
  (local.set $start (call $now))
  (loop $again
    (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100_000))))
  (if (i64.ne (i64.sub (call $now) (local.get $start)) (i64.const 1_000)) (then unreachable))
  (call $accept))
