;; what: Returns case 2 of `failure`, which has two cases, from `create`.
;; call: create
;; outcome: bad-result

(func $create (type $create)
  (i32.store8 offset=0 (global.get $made) (i32.const 1))
  (i32.store8 offset=8 (global.get $made) (i32.const 1))
  (i32.store8 offset=12 (global.get $made) (i32.const 2))
  (i32.store offset=16 (global.get $made) (global.get $message.ptr))
  (i32.store offset=20 (global.get $made) (global.get $message.len))
  (global.get $made))
