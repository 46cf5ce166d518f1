;; what: Writes errors without end.
;; call: verify
;; outcome: limit-host-calls
;; grants: wasi
;; world: wasi

(import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
(import "wasi:io/streams@0.2.0" "[method]output-stream.write" (func $write (param i32 i32 i32 i32)))

(func $verify (param i32 i32) (result i32)
  (local $stderr i32)
  (local.set $stderr (call $stderr))
  (loop $again
    (call $write (local.get $stderr) (i32.const 0) (i32.const 0x10000) (global.get $out))
    (br $again))
  (unreachable))
