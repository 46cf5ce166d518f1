;; what: Verifies a signature with a public key during instantiation.
;; call: load
;; outcome: forbidden-call
;; grants: public-keys

(import "keyward:handler/public-keys@0.1.0" "verify"
  (func $check (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))

(data $label "mine")
(data $signature (repeat 64 "\00"))
(func (export "_initialize")
  (call $check (global.get $label.ptr) (global.get $label.len)
    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 8)
    (global.get $message.ptr) (global.get $message.len) (global.get $signature.ptr) (global.get $signature.len) (global.get $out)))
