;; what: Queries the operator's database until it is stopped.
;; call: verify+create
;; outcome: forbidden-call
;; grants: queries

(import "keyward:handler/queries@0.1.0" "run" (func $run (param i32 i32 i32 i32 i32)))

(data $label "mine")
(data $name "id")
(global $parameters i32 (i32.const 0x700)) ;; 24 bytes each: name, kind at 8, payload at 16

;; Parameter $n is the text at $text.
(func $parameter (param $n i32) (param $text i32) (param $text.len i32)
  (local $at i32)
  (local.set $at (i32.add (global.get $parameters) (i32.mul (local.get $n) (i32.const 24))))
  (i32.store (local.get $at) (global.get $name.ptr))
  (i32.store offset=4 (local.get $at) (global.get $name.len))
  (i32.store8 offset=8 (local.get $at) (i32.const 3))
  (i32.store offset=16 (local.get $at) (local.get $text))
  (i32.store offset=20 (local.get $at) (local.get $text.len)))
(func $query (param $count i32)
  (call $run
    (global.get $label.ptr) (global.get $label.len) (global.get $parameters) (local.get $count) (global.get $out)))

(func $ask
  (local $n i32)
  (call $parameter (i32.const 0) (global.get $message.ptr) (global.get $message.len))
  (loop $again
    (call $query (i32.const 1))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 17)))))
(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $ask)
  (call $accept))
(func $create (type $create)
  (call $ask)
  (call $give))
