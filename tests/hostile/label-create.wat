;; what: Signs in `create` with the label of another handler.
;; call: create
;; outcome: denied not-permitted
;; grants: keys

(import "keyward:handler/keys@0.1.0" "sign" (func $sign (param i32 i32 i32 i32 i32)))

(data $label "token")
(data $message "not-granted")

(func $create (type $create)
  (call $sign (global.get $label.ptr) (global.get $label.len) (global.get $message.ptr) (global.get $message.len) (global.get $out))
  ;; The attack succeeds unless the result is error 0, `not-granted`.
  (if (i32.eqz (i32.load8_u (global.get $out))) (then (return (call $give))))
  (if (i32.load8_u offset=4 (global.get $out)) (then (return (call $give))))
  (call $deny (i32.const 2)))
