;; what: Signs with a label that is not UTF-8.
;; call: create
;; outcome: bad-result
;; grants: keys

(import "keyward:handler/keys@0.1.0" "sign" (func $sign (param i32 i32 i32 i32 i32)))

(data $label "mine\ff")
(func $create (type $create)
  (call $sign (global.get $label.ptr) (global.get $label.len) (global.get $message.ptr) (global.get $message.len) (global.get $out))
  (call $give))
