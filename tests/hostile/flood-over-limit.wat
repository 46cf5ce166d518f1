;; what: Makes 2,001 host calls, one more than the limit.
;; call: verify
;; outcome: limit-host-calls

(import "keyward:handler/clock@0.1.0" "now" (func $now (param i32)))

(func $verify (param i32 i32) (result i32)
  (local $n i32)
  (loop $again
    (call $now (global.get $out))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 2_001))))
  (call $accept))
