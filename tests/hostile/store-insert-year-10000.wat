;; what: Inserts a record that is valid until the year 10000.
;; call: create
;; outcome: bad-result
;; grants: store

(import "keyward:handler/store@0.1.0" "insert" (func $insert (param i32 i32 i32 i32 i32 i64 i32)))

(func $create (type $create)
  (call $insert
    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1) (i64.const 253402300800) (global.get $out))
  (call $give))
