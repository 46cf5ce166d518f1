;; what: Verifies a signature of 1 MiB.
;; call: verify
;; outcome: limit-host-bytes
;; grants: keys

(import "keyward:handler/keys@0.1.0" "verify" (func $check (param i32 i32 i32 i32 i32 i32 i32)))

(memory $memory 20)
(data $label "mine")
(func $verify (param i32 i32) (result i32)
  (call $check (global.get $label.ptr) (global.get $label.len) (global.get $message.ptr) (global.get $message.len)
    (i32.const 0x20000) (i32.const 0x100000) (global.get $out))
  (call $accept))
