;; what: The created token expires in the year 10000.
;; call: create
;; outcome: bad-result

(func $create (type $create)
  (i32.store8 offset=32 (global.get $made) (i32.const 1))
  (i64.store offset=40 (global.get $made) (i64.const 253402300800))
  (call $give))
