;; what: Loops for a finite 2^62 rounds.
;; call: verify
;; outcome: limit-cpu

(func $verify (param i32 i32) (result i32)
  (local $n i64)
  (loop $again
    (local.set $n (i64.add (local.get $n) (i64.const 1)))
    (br_if $again (i64.lt_u (local.get $n) (i64.const 0x4000000000000000))))
  (call $accept))
