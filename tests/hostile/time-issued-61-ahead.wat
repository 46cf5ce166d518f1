;; what: The token was issued 61 seconds in the future.
;; call: verify
;; outcome: rejected not-yet-valid

(import "keyward:handler/clock@0.1.0" "now" (func $now (param i32)))

(func $verify (param i32 i32) (result i32)
  (call $now (global.get $out))
  (i32.store8 offset=64 (global.get $verdict) (i32.const 1))
  (i64.store offset=72 (global.get $verdict) (i64.add (i64.load (global.get $out)) (i64.const 61)))
  (call $accept))
