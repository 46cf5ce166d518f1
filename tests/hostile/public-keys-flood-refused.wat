;; what: Asks for a label that is not granted, again and again.
;; call: verify
;; outcome: limit-host-calls
;; grants: public-keys

(import "keyward:handler/public-keys@0.1.0" "verify"
  (func $check (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))

(data $label "theirs")
(data $signature (repeat 64 "\00"))
(func $verify (param i32 i32) (result i32)
  (loop $again
    (call $check (global.get $label.ptr) (global.get $label.len)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 8)
      (global.get $message.ptr) (global.get $message.len) (global.get $signature.ptr) (global.get $signature.len) (global.get $out))
    (br $again))
  unreachable)
