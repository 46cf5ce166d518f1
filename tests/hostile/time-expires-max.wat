;; what: The token expires at 2^64 - 1.
;; call: verify
;; outcome: bad-result

(func $verify (param i32 i32) (result i32)
  (i32.store8 offset=80 (global.get $verdict) (i32.const 1))
  (i64.store offset=88 (global.get $verdict) (i64.const 0xffffffffffffffff))
  (call $accept))
