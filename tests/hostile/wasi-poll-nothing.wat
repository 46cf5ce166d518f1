;; what: Waits for nothing.
;; call: verify
;; outcome: bad-result
;; grants: wasi
;; world: wasi

(import "wasi:io/poll@0.2.0" "poll" (func $poll (param i32 i32 i32)))

(func $verify (param i32 i32) (result i32)
  (call $poll (i32.const 0) (i32.const 0) (global.get $out))
  (call $accept))
