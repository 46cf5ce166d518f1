;; what: Inserts a record that expires, and returns its token as one that does not.
;; call: create
;; outcome: bad-result
;; grants: store

(import "keyward:handler/store@0.1.0" "insert" (func $insert (param i32 i32 i32 i32 i32 i64 i32)))

(func $create (type $create)
  (call $insert
    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1) (i64.const 1767225660) (global.get $out))
  (i32.store8 offset=16 (global.get $made) (i32.const 1))
  (i64.store offset=20 align=4 (global.get $made) (i64.load (global.get $out)))
  (call $give))
