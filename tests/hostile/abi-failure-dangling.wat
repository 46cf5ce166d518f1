;; what: The text of a failure lies outside memory.
;; call: verify
;; outcome: bad-result

(func $verify (param i32 i32) (result i32)
  (i32.store8 offset=0 (global.get $verdict) (i32.const 1))
  (i32.store offset=12 (global.get $verdict) (i32.const 0xfffffff0))
  (i32.store offset=16 (global.get $verdict) (i32.const 4))
  (global.get $verdict))
