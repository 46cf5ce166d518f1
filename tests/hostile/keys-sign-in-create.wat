;; what: Control: signs in `create` with its own label, and gets 32 bytes.
;; call: create
;; outcome: ok
;; grants: keys

(import "keyward:handler/keys@0.1.0" "sign" (func $sign (param i32 i32 i32 i32 i32)))

(data $label "mine")
(func $create (type $create)
  (call $sign (global.get $label.ptr) (global.get $label.len) (global.get $message.ptr) (global.get $message.len) (global.get $out))
  (if (i32.load8_u (global.get $out)) (then unreachable))
  (if (i32.ne (i32.load offset=8 (global.get $out)) (i32.const 32)) (then unreachable))
  (call $give))
