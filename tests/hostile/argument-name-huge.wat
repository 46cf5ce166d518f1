;; what: Reads a setting with a name of 1 MiB.
;; call: verify
;; outcome: limit-host-bytes

(import "keyward:handler/settings@0.1.0" "get" (func $get (param i32 i32 i32)))

(memory $memory 20)
(func $verify (param i32 i32) (result i32)
  (call $get (i32.const 0x20000) (i32.const 0x100000) (global.get $out))
  (call $accept))
