;; what: Passes an optional key id that is neither there nor not.
;; call: verify
;; outcome: bad-result
;; grants: public-keys

(import "keyward:handler/public-keys@0.1.0" "verify"
  (func $check (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))

(data $label "mine")
(data $signature (repeat 64 "\00"))
(data $kid "a")
(func $verify (param i32 i32) (result i32)
  (call $check (global.get $label.ptr) (global.get $label.len)
    (i32.const 2) (global.get $kid.ptr) (global.get $kid.len) (i32.const 8)
    (global.get $message.ptr) (global.get $message.len) (global.get $signature.ptr) (global.get $signature.len) (global.get $out))
  (call $accept))
