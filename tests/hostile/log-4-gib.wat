;; what: Writes a line of 4 GiB - 1.
;; call: verify
;; outcome: bad-result

(import "keyward:handler/log@0.1.0" "write" (func $log (param i32 i32 i32)))

(func $verify (param i32 i32) (result i32)
  (call $log (i32.const 0) (i32.const 0) (i32.const 0xffffffff))
  (call $accept))
