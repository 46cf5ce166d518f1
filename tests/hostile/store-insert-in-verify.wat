;; what: Inserts a record in `verify`, for a token that was never requested.
;; call: verify
;; outcome: forbidden-call
;; grants: store

(import "keyward:handler/store@0.1.0" "insert" (func $insert (param i32 i32 i32 i32 i32 i64 i32)))

(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $insert (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (global.get $out))
  (call $accept))
