;; what: Control: computes for about half a millisecond, less than a slice, and accepts.
;; call: verify
;; outcome: ok

(func $verify (param i32 i32) (result i32)
  (local $n i32)
  (loop $again
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 1_500_000))))
  (call $accept))
