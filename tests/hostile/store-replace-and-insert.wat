;; what: Replaces the record of an actor, and inserts another.
;; call: create
;; outcome: forbidden-call
;; grants: store

(import "keyward:handler/store@0.1.0" "replace" (func $replace (param i32 i32 i32 i32 i32 i64 i32)))
(import "keyward:handler/store@0.1.0" "insert" (func $insert (param i32 i32 i32 i32 i32 i64 i32)))

(func $create (type $create)
  (call $replace (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (global.get $out))
  (call $insert (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (global.get $out))
  (call $give))
