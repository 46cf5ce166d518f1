;; what: Exits: the call ends, and the process does not.
;; call: verify+create
;; outcome: trap
;; grants: wasi
;; world: wasi

(import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))

(func $verify (param i32 i32) (result i32)
  (call $exit (i32.const 0))
  (call $accept))
(func $create (type $create)
  (call $exit (i32.const 1))
  (call $give))
