;; what: Writes a megabyte of errors: it is truncated, and nothing fails.
;; call: verify
;; outcome: ok
;; grants: wasi
;; world: wasi

(import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
(import "wasi:io/streams@0.2.0" "[method]output-stream.write" (func $write (param i32 i32 i32 i32)))

(func $verify (param i32 i32) (result i32)
  (local $stderr i32) (local $i i32)
  (local.set $stderr (call $stderr))
  (loop $again
    (call $write (local.get $stderr) (i32.const 0) (i32.const 0x10000) (global.get $out))
    (if (i32.load8_u (global.get $out)) (then unreachable))
    (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 16))))
  (call $accept))
