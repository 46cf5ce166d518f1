;; what: Requests a random byte a million times.
;; call: verify
;; outcome: limit-host-calls

(import "keyward:handler/random@0.1.0" "bytes" (func $random (param i32 i32)))

(func $verify (param i32 i32) (result i32)
  (local $n i32)
  (loop $again
    (call $random (i32.const 1) (global.get $out))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 1_000_000))))
  (call $accept))
