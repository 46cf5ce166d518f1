;; what: The token was issued in the year 10000.
;; call: verify
;; outcome: bad-result

(func $verify (param i32 i32) (result i32)
  (i32.store8 offset=64 (global.get $verdict) (i32.const 1))
  (i64.store offset=72 (global.get $verdict) (i64.const 253402300800))
  (call $accept))
