;; what: Control: the token is valid for another second.
;; call: verify
;; outcome: ok

(import "keyward:handler/clock@0.1.0" "now" (func $now (param i32)))

(func $verify (param i32 i32) (result i32)
  (call $now (global.get $out))
  (i32.store8 offset=80 (global.get $verdict) (i32.const 1))
  (i64.store offset=88 (global.get $verdict) (i64.add (i64.load (global.get $out)) (i64.const 1)))
  (call $accept))
