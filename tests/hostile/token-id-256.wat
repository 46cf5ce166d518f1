;; what: Control: a token id of 256 bytes, exactly the limit.
;; call: verify
;; outcome: ok

(data $token-id (repeat 256 "x"))
(func $verify (param i32 i32) (result i32)
  (i32.store8 offset=52 (global.get $verdict) (i32.const 1))
  (i32.store offset=56 (global.get $verdict) (global.get $token-id.ptr))
  (i32.store offset=60 (global.get $verdict) (global.get $token-id.len))
  (call $accept))
