;; what: Asks which key signs for another handler.
;; call: create
;; outcome: denied disabled
;; grants: keys

(import "keyward:handler/keys@0.1.0" "signing-key" (func $signing-key (param i32 i32 i32)))

(data $label "token")

(func $create (type $create)
  (call $signing-key (global.get $label.ptr) (global.get $label.len) (global.get $out))
  ;; The attack succeeds unless the result is error 0, `not-granted`.
  (if (i32.eqz (i32.load8_u (global.get $out))) (then (return (call $give))))
  (if (i32.load8_u offset=4 (global.get $out)) (then (return (call $give))))
  (call $deny (i32.const 0)))
