;; what: Writes one line of 8 MiB.
;; call: verify
;; outcome: limit-host-bytes

(import "keyward:handler/log@0.1.0" "write" (func $log (param i32 i32 i32)))

(memory $memory 200)
(func $verify (param i32 i32) (result i32)
  (call $log (i32.const 3) (i32.const 0x20000) (i32.const 0x800000))
  (call $accept))
