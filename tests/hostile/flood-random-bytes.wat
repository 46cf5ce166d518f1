;; what: Hides work in the host with 2,000 requests for 64 KiB of randomness.
;; call: verify
;; outcome: limit-host-work

(import "keyward:handler/random@0.1.0" "bytes" (func $random (param i32 i32)))

(memory $memory 4)
;; Written to the same address every time, so that memory is not the limit.
(func $realloc (param i32 i32 i32 i32) (result i32)
  (i32.const 0x20000))
(func $verify (param i32 i32) (result i32)
  (local $n i32)
  (loop $again
    (call $random (i32.const 0x10000) (global.get $out))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 2_000))))
  (call $accept))
