;; what: The list of actions has 2^29 entries: 2^32 bytes, which wraps to 0 in 32 bits.
;; call: verify
;; outcome: bad-result

(func $verify (param i32 i32) (result i32)
  (i32.store8 offset=24 (global.get $verdict) (i32.const 1))
  (i32.store offset=28 (global.get $verdict) (i32.const 0x3000))
  (i32.store offset=32 (global.get $verdict) (i32.const 0x20000000))
  (call $accept))
