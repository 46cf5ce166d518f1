;; what: Verifies with the label of another handler.
;; call: verify
;; outcome: rejected unknown
;; grants: public-keys

(import "keyward:handler/public-keys@0.1.0" "verify"
  (func $check (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))

(data $label "theirs")
(data $signature (repeat 64 "\00"))
(func $verify (param i32 i32) (result i32)
  (call $check (global.get $label.ptr) (global.get $label.len)
    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 8)
    (global.get $message.ptr) (global.get $message.len) (global.get $signature.ptr) (global.get $signature.len) (global.get $out))
  ;; The attack succeeds unless the result is error 0, `not-granted`.
  (if (i32.eqz (i32.load8_u (global.get $out))) (then (return (call $accept))))
  (if (i32.ne (i32.load8_u offset=1 (global.get $out)) (i32.const 0)) (then (return (call $accept))))
  (call $reject (i32.const 6)))
