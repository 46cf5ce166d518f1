;; what: The list of actions lies outside memory.
;; call: verify
;; outcome: bad-result

(func $verify (param i32 i32) (result i32)
  (i32.store8 offset=24 (global.get $verdict) (i32.const 1))
  (i32.store offset=28 (global.get $verdict) (i32.const 0xfffffff0))
  (i32.store offset=32 (global.get $verdict) (i32.const 1))
  (call $accept))
