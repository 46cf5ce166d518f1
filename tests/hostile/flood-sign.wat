;; what: Signs a million times in `create`.
;; call: create
;; outcome: limit-host-calls
;; grants: keys

(import "keyward:handler/keys@0.1.0" "sign" (func $sign (param i32 i32 i32 i32 i32)))

(data $label "mine")

;; The result is discarded, so that memory is not the limit.
(func $realloc (param i32 i32 i32 i32) (result i32)
  (i32.const 0x10000))
(func $create (type $create)
  (local $n i32)
  (loop $again
    (call $sign (global.get $label.ptr) (global.get $label.len) (global.get $message.ptr) (global.get $message.len) (global.get $out))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 1_000_000))))
  (call $give))
