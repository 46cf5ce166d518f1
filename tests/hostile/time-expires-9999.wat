;; what: Control: the token expires in the last second of the year 9999.
;; call: verify
;; outcome: ok

(func $verify (param i32 i32) (result i32)
  (i32.store8 offset=80 (global.get $verdict) (i32.const 1))
  (i64.store offset=88 (global.get $verdict) (i64.const 253402300799))
  (call $accept))
