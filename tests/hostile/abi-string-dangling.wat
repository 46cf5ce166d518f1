;; what: The actor lies outside memory.
;; call: verify
;; outcome: bad-result

(func $verify (param i32 i32) (result i32)
  (drop (call $accept))
  (i32.store offset=16 (global.get $verdict) (i32.const 0xfffffff0))
  (i32.store offset=20 (global.get $verdict) (i32.const 8))
  (global.get $verdict))
