;; what: Hides work in the host with 2,000 signatures over 250,000 bytes each.
;; call: verify
;; outcome: limit-host-work
;; grants: keys

(import "keyward:handler/keys@0.1.0" "verify" (func $check (param i32 i32 i32 i32 i32 i32 i32)))

(memory $memory 8)
(data $label "mine")
(func $verify (param i32 i32) (result i32)
  (local $n i32)
  (loop $again
    (call $check (global.get $label.ptr) (global.get $label.len) (i32.const 0x20000) (i32.const 250_000)
      (i32.const 0x20000) (i32.const 32) (global.get $out))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 2_000))))
  (call $accept))
