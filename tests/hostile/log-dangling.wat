;; what: Writes a line that lies outside its memory.
;; call: verify
;; outcome: bad-result

(import "keyward:handler/log@0.1.0" "write" (func $log (param i32 i32 i32)))

(func $verify (param i32 i32) (result i32)
  (call $log (i32.const 0) (i32.const 0xfffffff0) (i32.const 8))
  (call $accept))
