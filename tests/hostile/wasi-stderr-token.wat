;; what: Writes its token to the errors, and then fails.
;; call: verify
;; outcome: trap
;; grants: wasi
;; world: wasi

(import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
(import "wasi:io/streams@0.2.0" "[method]output-stream.write" (func $write (param i32 i32 i32 i32)))

(data $begin "the token is ")
(data $end "\0athe end\0a")
(func $verify (param $token i32) (param $token.len i32) (result i32)
  (local $stderr i32)
  (local.set $stderr (call $stderr))
  (call $write (local.get $stderr) (global.get $begin.ptr) (global.get $begin.len) (global.get $out))
  (call $write (local.get $stderr) (local.get $token) (local.get $token.len) (global.get $out))
  (call $write (local.get $stderr) (global.get $end.ptr) (global.get $end.len) (global.get $out))
  (unreachable))
