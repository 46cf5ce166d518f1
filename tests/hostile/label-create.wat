;; what: Signs with the label of another handler in create.
;; call: create
;; outcome: denied not-permitted
;; grants: keys

(import "keyward:handler/keys@0.1.0" "sign" (func $sign (param i32 i32 i32 i32 i32)))

(data $label "token")
(data $message "not-granted")

(func $create (type $create)
  (call $sign (global.get $label.ptr) (global.get $label.len) (global.get $message.ptr) (global.get $message.len) (global.get $out))
  ;; Anything but the error 0, `not-granted`, is a success of the attack.
  (if (i32.eqz (i32.load8_u (global.get $out))) (then (return (call $give))))
  (if (i32.load8_u offset=4 (global.get $out)) (then (return (call $give))))
  (call $deny (i32.const 2)))
