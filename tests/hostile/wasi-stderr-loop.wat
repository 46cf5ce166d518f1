;; what: Writes to the errors, and then computes without end.
;; call: verify
;; outcome: limit-cpu
;; grants: wasi
;; world: wasi

(import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
(import "wasi:io/streams@0.2.0" "[method]output-stream.write" (func $write (param i32 i32 i32 i32)))

(data $text "before the loop\0aho_012345")
(func $verify (param i32 i32) (result i32)
  (local $stderr i32)
  (local.set $stderr (call $stderr))
  (call $write (local.get $stderr) (global.get $text.ptr) (global.get $text.len) (global.get $out))
  (loop $again (br $again))
  (unreachable))
