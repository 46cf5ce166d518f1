;; what: Requests the operator's endpoint until it is stopped.
;; call: verify+create
;; outcome: forbidden-call
;; grants: http

(import "keyward:handler/http@0.1.0" "send" (func $send (param i32 i32 i32 i32 i32)))

(data $label "mine")
(data $name "id")
(global $parameters i32 (i32.const 0x700)) ;; 16 bytes each: name, value at 8

;; Parameter $n is the text at $text.
(func $parameter (param $n i32) (param $text i32) (param $text.len i32)
  (local $at i32)
  (local.set $at (i32.add (global.get $parameters) (i32.mul (local.get $n) (i32.const 16))))
  (i32.store (local.get $at) (global.get $name.ptr))
  (i32.store offset=4 (local.get $at) (global.get $name.len))
  (i32.store offset=8 (local.get $at) (local.get $text))
  (i32.store offset=12 (local.get $at) (local.get $text.len)))
(func $request (param $count i32)
  (call $send
    (global.get $label.ptr) (global.get $label.len) (global.get $parameters) (local.get $count) (global.get $out)))
;; Rejects as unknown if the result is this error, and accepts otherwise.
(func $expect (param $error i32) (result i32)
  (if (result i32)
    (i32.and (i32.load8_u (global.get $out)) (i32.eq (i32.load8_u offset=4 (global.get $out)) (local.get $error)))
    (then (call $reject (i32.const 6)))
    (else (call $accept))))

(func $ask
  (local $n i32)
  (call $parameter (i32.const 0) (global.get $message.ptr) (global.get $message.len))
  (loop $again
    (call $request (i32.const 1))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 5)))))
(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $ask)
  (call $accept))
(func $create (type $create)
  (call $ask)
  (call $give))
