;; what: Gives a token one id in `create` and another in `verify`.
;; call: create
;; outcome: bad-token

(data $one "one")
(data $two "two")

(func $create (type $create)
  (i32.store8 offset=16 (global.get $made) (i32.const 1))
  (i32.store offset=20 (global.get $made) (global.get $one.ptr))
  (i32.store offset=24 (global.get $made) (global.get $one.len))
  (call $give))

(func $verify (param i32 i32) (result i32)
  (i32.store8 offset=52 (global.get $verdict) (i32.const 1))
  (i32.store offset=56 (global.get $verdict) (global.get $two.ptr))
  (i32.store offset=60 (global.get $verdict) (global.get $two.len))
  (call $accept))
