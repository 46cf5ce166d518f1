;; what: Signs with its own key during instantiation.
;; call: load
;; outcome: forbidden-call
;; grants: keys

(import "keyward:handler/keys@0.1.0" "sign" (func $sign (param i32 i32 i32 i32 i32)))

(data $label "mine")
(func (export "_initialize")
  (call $sign (global.get $label.ptr) (global.get $label.len) (global.get $message.ptr) (global.get $message.len) (global.get $out)))
