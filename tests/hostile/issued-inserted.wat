;; what: Inserts a record per token, but returns one token and accepts it under an id without record.
;; call: verify
;; outcome: ok
;; grants: store

(import "keyward:handler/store@0.1.0" "insert" (func $insert (param i32 i32 i32 i32 i32 i64 i32)))

(data $other "else")

(func $create (type $create)
  (call $insert (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (global.get $out))
  (i32.store8 offset=16 (global.get $made) (i32.const 1))
  (i32.store offset=20 (global.get $made) (i32.load (global.get $out)))
  (i32.store offset=24 (global.get $made) (i32.load offset=4 (global.get $out)))
  (call $give))

(func $verify (param i32 i32) (result i32)
  (i32.store8 offset=52 (global.get $verdict) (i32.const 1))
  (i32.store offset=56 (global.get $verdict) (global.get $other.ptr))
  (i32.store offset=60 (global.get $verdict) (global.get $other.len))
  (call $accept))
