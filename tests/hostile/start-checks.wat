;; what: Verifies a signature during instantiation.
;; call: load
;; outcome: forbidden-call
;; grants: keys

(import "keyward:handler/keys@0.1.0" "verify" (func $check (param i32 i32 i32 i32 i32 i32 i32)))

(data $label "mine")
(func (export "_initialize")
  (call $check (global.get $label.ptr) (global.get $label.len) (global.get $message.ptr) (global.get $message.len)
    (global.get $message.ptr) (global.get $message.len) (global.get $out)))
