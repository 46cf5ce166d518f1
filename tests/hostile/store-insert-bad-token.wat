;; what: Inserts a record, and returns a token of another handler.
;; call: create
;; outcome: bad-token
;; grants: store

(import "keyward:handler/store@0.1.0" "insert" (func $insert (param i32 i32 i32 i32 i32 i64 i32)))

(data $created "vi_ctim")
(func $create (type $create)
  (call $insert (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (global.get $out))
  (i32.store8 offset=16 (global.get $made) (i32.const 1))
  (i64.store offset=20 align=4 (global.get $made) (i64.load (global.get $out)))
  (call $give))
