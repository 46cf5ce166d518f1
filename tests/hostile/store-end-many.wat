;; what: Revokes records until it is stopped.
;; call: verify
;; outcome: forbidden-call
;; grants: store

(import "keyward:handler/store@0.1.0" "end" (func $end (param i32 i32)))

(data $ids "abcdefghijklmnopqrstuvwxyz")
(func $verify (param $token i32) (param $token.len i32) (result i32)
  (local $n i32)
  (loop $again
    (call $end (i32.add (global.get $ids.ptr) (local.get $n)) (i32.const 1))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 26))))
  (call $accept))
