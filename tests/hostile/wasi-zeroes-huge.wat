;; what: Writes a terabyte of zeroes.
;; call: verify
;; outcome: bad-result
;; grants: wasi
;; world: wasi

(import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
(import "wasi:io/streams@0.2.0" "[method]output-stream.write-zeroes" (func $zeroes (param i32 i64 i32)))

(func $verify (param i32 i32) (result i32)
  (call $zeroes (call $stderr) (i64.const 0x100_0000_0000) (global.get $out))
  (call $accept))
