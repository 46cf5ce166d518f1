;; what: Looks up a secret during instantiation.
;; call: load
;; outcome: forbidden-call
;; grants: secrets

(import "keyward:handler/secrets@0.1.0" "find" (func $find (param i32 i32 i32)))

(func (export "_initialize")
  (call $find (global.get $message.ptr) (global.get $message.len) (global.get $out)))
