;; what: The token is valid for one second more than max_ttl.
;; call: verify
;; outcome: rejected not-permitted
;; max-ttl: 3600

(import "keyward:handler/clock@0.1.0" "now" (func $now (param i32)))

(func $verify (param i32 i32) (result i32)
  (call $now (global.get $out))
  (i32.store8 offset=64 (global.get $verdict) (i32.const 1))
  (i64.store offset=72 (global.get $verdict) (i64.add (i64.load (global.get $out)) (i64.const 0)))
  (i32.store8 offset=80 (global.get $verdict) (i32.const 1))
  (i64.store offset=88 (global.get $verdict) (i64.add (i64.load (global.get $out)) (i64.const 3601)))
  (call $accept))
