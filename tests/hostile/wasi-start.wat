;; what: Reads the clock while it is instantiated.
;; call: verify
;; outcome: ok
;; grants: wasi
;; world: wasi

(import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))
(import "wasi:cli/environment@0.2.0" "get-arguments" (func $arguments (param i32)))

(func $begin
  (drop (call $now)))
(start $begin)
(func $verify (param i32 i32) (result i32)
  (call $arguments (global.get $out))
  (call $accept))
