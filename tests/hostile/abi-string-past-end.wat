;; what: The actor ends one byte after memory.
;; call: verify
;; outcome: bad-result

(func $verify (param i32 i32) (result i32)
  (drop (call $accept))
  (i32.store offset=16 (global.get $verdict) (i32.const 0x1fff8))
  (i32.store offset=20 (global.get $verdict) (i32.const 9))
  (global.get $verdict))
