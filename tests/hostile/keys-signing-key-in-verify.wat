;; what: Asks in `verify` which key signs, although only `create` may sign.
;; call: verify
;; outcome: rejected disabled
;; grants: keys

(import "keyward:handler/keys@0.1.0" "signing-key" (func $signing-key (param i32 i32 i32)))

(data $label "mine")

(func $verify (param i32 i32) (result i32)
  (call $signing-key (global.get $label.ptr) (global.get $label.len) (global.get $out))
  ;; The attack succeeds unless the result is error 1, `not-permitted-now`.
  (if (i32.eqz (i32.load8_u (global.get $out))) (then (return (call $accept))))
  (if (i32.ne (i32.load8_u offset=4 (global.get $out)) (i32.const 1)) (then (return (call $accept))))
  (call $reject (i32.const 5)))
