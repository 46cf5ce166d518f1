;; what: Signs in `create`, and verifies only the first 31 bytes of the signature.
;; call: create
;; outcome: denied not-permitted
;; grants: keys

(import "keyward:handler/keys@0.1.0" "sign" (func $sign (param i32 i32 i32 i32 i32)))
(import "keyward:handler/keys@0.1.0" "verify" (func $check (param i32 i32 i32 i32 i32 i32 i32)))

(data $label "mine")
(func $create (type $create)
  (call $sign (global.get $label.ptr) (global.get $label.len) (global.get $message.ptr) (global.get $message.len) (global.get $out))
  (call $check (global.get $label.ptr) (global.get $label.len) (global.get $message.ptr) (global.get $message.len)
    (i32.load offset=4 (global.get $out)) (i32.const 31) (global.get $out))
  ;; The attack succeeds unless the result is `false`.
  (if (i32.load8_u (global.get $out)) (then (return (call $give))))
  (if (i32.load8_u offset=1 (global.get $out)) (then (return (call $give))))
  (call $deny (i32.const 2)))
