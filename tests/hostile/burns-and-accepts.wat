;; what: Control: computes for about ten milliseconds, within its limit, and accepts.
;; call: verify
;; outcome: ok

(func $verify (param i32 i32) (result i32)
  (local $n i32)
  (loop $again
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 20_000_000))))
  (call $accept))
