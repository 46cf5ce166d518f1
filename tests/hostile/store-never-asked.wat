;; what: Creates tokens without a record despite a store grant, and accepts one without a lookup.
;; call: verify
;; outcome: ok
;; grants: store

(import "keyward:handler/store@0.1.0" "find" (func $find (param i32 i32 i32)))

(data $token-id "own")
(func $verify (param i32 i32) (result i32)
  (i32.store8 offset=52 (global.get $verdict) (i32.const 1))
  (i32.store offset=56 (global.get $verdict) (global.get $token-id.ptr))
  (i32.store offset=60 (global.get $verdict) (global.get $token-id.len))
  (call $accept))
(func $create (type $create)
  (i32.store8 offset=16 (global.get $made) (i32.const 1))
  (i32.store offset=20 (global.get $made) (global.get $token-id.ptr))
  (i32.store offset=24 (global.get $made) (global.get $token-id.len))
  (call $give))
