;; what: Reports every token as issued just now, so that no cutoff would ever cover it.
;; call: verify
;; outcome: ok

(import "keyward:handler/clock@0.1.0" "now" (func $now (param i32)))

(data $token-id "t1")
(func $verify (param i32 i32) (result i32)
  (call $now (global.get $out))
  (i32.store8 offset=52 (global.get $verdict) (i32.const 1))
  (i32.store offset=56 (global.get $verdict) (global.get $token-id.ptr))
  (i32.store offset=60 (global.get $verdict) (global.get $token-id.len))
  (i32.store8 offset=64 (global.get $verdict) (i32.const 1))
  (i64.store offset=72 (global.get $verdict) (i64.load (global.get $out)))
  (call $accept))
