;; what: The list of databases is not aligned.
;; call: verify
;; outcome: bad-result

(func $verify (param i32 i32) (result i32)
  (i32.store8 offset=24 (global.get $verdict) (i32.const 1))
  (i32.store offset=36 (global.get $verdict) (i32.const 0x3001))
  (i32.store offset=40 (global.get $verdict) (i32.const 1))
  (call $accept))
