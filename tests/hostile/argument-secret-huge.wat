;; what: Looks up a secret of 1 MiB.
;; call: verify
;; outcome: limit-host-bytes
;; grants: secrets

(import "keyward:handler/secrets@0.1.0" "find" (func $find (param i32 i32 i32)))

(memory $memory 20)
(func $verify (param i32 i32) (result i32)
  (call $find (i32.const 0x20000) (i32.const 0x100000) (global.get $out))
  (call $accept))
