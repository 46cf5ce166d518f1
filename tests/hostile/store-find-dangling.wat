;; what: Looks up a record whose id lies outside its memory.
;; call: verify
;; outcome: bad-result
;; grants: store

(import "keyward:handler/store@0.1.0" "find" (func $find (param i32 i32 i32)))

(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $find (i32.const 0x7fffff00) (i32.const 16) (global.get $out))
  (call $accept))
