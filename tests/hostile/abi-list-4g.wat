;; what: The list of resources has 2^32 - 1 entries.
;; call: verify
;; outcome: bad-result

(func $verify (param i32 i32) (result i32)
  (i32.store8 offset=24 (global.get $verdict) (i32.const 1))
  (i32.store offset=44 (global.get $verdict) (i32.const 0x3000))
  (i32.store offset=48 (global.get $verdict) (i32.const 0xffffffff))
  (call $accept))
