;; what: Looks up a record in a store that does not respond.
;; call: verify+create
;; outcome: store
;; grants: silent-store

(import "keyward:handler/store@0.1.0" "find" (func $find (param i32 i32 i32)))

(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $find (global.get $message.ptr) (global.get $message.len) (global.get $out))
  (call $accept))
(func $create (type $create)
  (call $find (global.get $message.ptr) (global.get $message.len) (global.get $out))
  (call $give))
