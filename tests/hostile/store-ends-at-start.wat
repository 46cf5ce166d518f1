;; what: Revokes a record during instantiation.
;; call: load
;; outcome: forbidden-call
;; grants: store

(import "keyward:handler/store@0.1.0" "end" (func $end (param i32 i32)))

(func (export "_initialize")
  (call $end (global.get $message.ptr) (global.get $message.len)))
