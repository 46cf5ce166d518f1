;; what: Requests 4 GiB of randomness.
;; call: verify
;; outcome: forbidden-call

(import "keyward:handler/random@0.1.0" "bytes" (func $random (param i32 i32)))

(func $verify (param i32 i32) (result i32)
  (call $random (i32.const 0xffffffff) (global.get $out))
  (call $accept))
