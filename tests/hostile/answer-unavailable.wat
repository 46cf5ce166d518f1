;; what: Fails to verify any token as unavailable.
;; call: verify
;; outcome: unavailable

(func $verify (param i32 i32) (result i32)
  (i32.store8 offset=0 (global.get $verdict) (i32.const 1))
  (i32.store8 offset=8 (global.get $verdict) (i32.const 0))
  (i32.store offset=12 (global.get $verdict) (global.get $message.ptr))
  (i32.store offset=16 (global.get $verdict) (global.get $message.len))
  (global.get $verdict))
