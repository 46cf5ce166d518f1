;; what: Control: 65,536 random bytes, the maximum at once.
;; call: verify
;; outcome: ok

(import "keyward:handler/random@0.1.0" "bytes" (func $random (param i32 i32)))

(func $verify (param i32 i32) (result i32)
  (call $random (i32.const 65_536) (global.get $out))
  (call $accept))
