;; what: Signs and verifies with the label of another handler.
;; call: verify
;; outcome: rejected unknown
;; grants: keys

(import "keyward:handler/keys@0.1.0" "sign" (func $sign (param i32 i32 i32 i32 i32)))
(import "keyward:handler/keys@0.1.0" "verify" (func $check (param i32 i32 i32 i32 i32 i32 i32)))

(data $label "token")
(data $message "not-granted")

(func $verify (param i32 i32) (result i32)
  ;; The attack succeeds unless the result is error 0, `not-granted`.
  (call $sign (global.get $label.ptr) (global.get $label.len) (global.get $message.ptr) (global.get $message.len) (global.get $out))
  (if (i32.eqz (i32.load8_u (global.get $out))) (then (return (call $accept))))
  (if (i32.load8_u offset=4 (global.get $out)) (then (return (call $accept))))
  (call $check (global.get $label.ptr) (global.get $label.len) (global.get $message.ptr) (global.get $message.len)
    (global.get $message.ptr) (global.get $message.len) (global.get $out))
  (if (i32.eqz (i32.load8_u (global.get $out))) (then (return (call $accept))))
  (if (i32.load8_u offset=1 (global.get $out)) (then (return (call $accept))))
  (call $reject (i32.const 6)))
