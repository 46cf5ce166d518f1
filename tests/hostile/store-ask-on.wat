;; what: Looks up records until it is stopped.
;; call: verify+create
;; outcome: forbidden-call
;; grants: store

(import "keyward:handler/store@0.1.0" "find" (func $find (param i32 i32 i32)))

(func $ask
  (local $n i32)
  (loop $again
    (call $find (global.get $message.ptr) (global.get $message.len) (global.get $out))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 17)))))
(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $ask)
  (call $accept))
(func $create (type $create)
  (call $ask)
  (call $give))
