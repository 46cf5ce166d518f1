;; what: Fails to create any token with an internal failure.
;; call: create
;; outcome: internal

(func $create (type $create)
  (i32.store8 offset=0 (global.get $made) (i32.const 1))
  (i32.store8 offset=8 (global.get $made) (i32.const 1))
  (i32.store8 offset=12 (global.get $made) (i32.const 1))
  (i32.store offset=16 (global.get $made) (global.get $message.ptr))
  (i32.store offset=20 (global.get $made) (global.get $message.len))
  (global.get $made))
