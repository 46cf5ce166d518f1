;; what: The id of the created token is a space.
;; call: create
;; outcome: bad-result

(data $token-id " ")
(func $create (type $create)
  (i32.store8 offset=16 (global.get $made) (i32.const 1))
  (i32.store offset=20 (global.get $made) (global.get $token-id.ptr))
  (i32.store offset=24 (global.get $made) (global.get $token-id.len))
  (call $give))
