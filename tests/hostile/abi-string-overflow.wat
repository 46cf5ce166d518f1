;; what: Address and length of the actor overflow 32 bits to a small number.
;; call: verify
;; outcome: bad-result

(func $verify (param i32 i32) (result i32)
  (drop (call $accept))
  (i32.store offset=16 (global.get $verdict) (i32.const 0xffffff00))
  (i32.store offset=20 (global.get $verdict) (i32.const 0x200))
  (global.get $verdict))
