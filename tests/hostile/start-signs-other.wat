;; what: Signs with a label that it was not granted during instantiation.
;; call: load
;; outcome: forbidden-call
;; grants: keys

(import "keyward:handler/keys@0.1.0" "sign" (func $sign (param i32 i32 i32 i32 i32)))

(data $label "token")
(func (export "_initialize")
  (call $sign (global.get $label.ptr) (global.get $label.len) (global.get $message.ptr) (global.get $message.len) (global.get $out)))
