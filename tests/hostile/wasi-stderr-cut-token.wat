;; what: Writes its token to the errors, and so much after it that only its first character is dropped.
;; call: verify
;; outcome: trap
;; grants: wasi
;; world: wasi

(import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
(import "wasi:io/streams@0.2.0" "[method]output-stream.write" (func $write (param i32 i32 i32 i32)))

(data $line "\0a")
(func $verify (param $token i32) (param $token.len i32) (result i32)
  (local $stderr i32)
  (local.set $stderr (call $stderr))
  (call $write (local.get $stderr) (local.get $token) (local.get $token.len) (global.get $out))
  (call $write (local.get $stderr) (global.get $line.ptr) (global.get $line.len) (global.get $out))
  ;; 16 KiB in all, without the first byte.
  (call $write (local.get $stderr) (i32.const 0x8000)
    (i32.sub (i32.const 0x4000) (local.get $token.len)) (global.get $out))
  (unreachable))
