;; what: Imports a function that wasi:clocks/monotonic-clock does not have.
;; call: load
;; outcome: unknown-import
;; grants: wasi
;; wit: world handler { => package wasi:clocks@0.2.0 { interface monotonic-clock { ask: func() -> u64; } } world handler { import wasi:clocks/monotonic-clock@0.2.0;

(import "wasi:clocks/monotonic-clock@0.2.0" "ask" (func $ask (result i64)))
(func $verify (param i32 i32) (result i32)
  (drop (call $ask))
  (call $accept))
