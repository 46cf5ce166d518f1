;; what: Imports wasi:sockets/tcp of WASI 0.3.
;; call: load
;; outcome: wasi-import
;; wit: world handler { => package wasi:sockets@0.3.0 { interface tcp { ask: func() -> u64; } } world handler { import wasi:sockets/tcp@0.3.0;

(import "wasi:sockets/tcp@0.3.0" "ask" (func $ask (result i64)))
(func $verify (param i32 i32) (result i32)
  (drop (call $ask))
  (call $accept))
