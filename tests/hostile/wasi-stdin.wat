;; what: Waits for input: it has ended.
;; call: verify
;; outcome: rejected unknown
;; grants: wasi
;; world: wasi

(import "wasi:cli/stdin@0.2.0" "get-stdin" (func $stdin (result i32)))
(import "wasi:io/streams@0.2.0" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))

(func $verify (param i32 i32) (result i32)
  (call $read (call $stdin) (i64.const 0x100_0000_0000) (global.get $out))
  (if (i32.load8_u (global.get $out)) (then (return (call $reject (i32.const 6)))))
  (call $accept))
