;; what: Imports a function that wasi:cli/environment does not have.
;; call: load
;; outcome: unknown-import
;; grants: wasi
;; wit: world handler { => package wasi:cli@0.2.3 { interface environment { ask: func() -> u64; } } world handler { import wasi:cli/environment@0.2.3;

(import "wasi:cli/environment@0.2.3" "ask" (func $ask (result i64)))
(func $verify (param i32 i32) (result i32)
  (drop (call $ask))
  (call $accept))
