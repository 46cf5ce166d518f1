;; what: The actor is 4 GiB - 1 long.
;; call: verify
;; outcome: bad-result

(func $verify (param i32 i32) (result i32)
  (drop (call $accept))
  (i32.store offset=16 (global.get $verdict) (i32.const 0x400))
  (i32.store offset=20 (global.get $verdict) (i32.const 0xffffffff))
  (global.get $verdict))
