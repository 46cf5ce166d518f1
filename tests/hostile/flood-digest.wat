;; what: Hashes a thousand bytes ten thousand times.
;; call: verify
;; outcome: limit-host-calls

(import "keyward:handler/digest@0.1.0" "sha256" (func $sha256 (param i32 i32 i32)))

(func $verify (param i32 i32) (result i32)
  (local $n i32)
  (loop $again
    (call $sha256 (i32.const 0) (i32.const 1_000) (global.get $out))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 10_000))))
  (call $accept))
