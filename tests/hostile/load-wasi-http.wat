;; what: Imports wasi:http/outgoing-handler.
;; call: load
;; outcome: wasi-import
;; wit: world handler { => package wasi:http@0.2.0 { interface outgoing-handler { ask: func() -> u64; } } world handler { import wasi:http/outgoing-handler@0.2.0;

(import "wasi:http/outgoing-handler@0.2.0" "ask" (func $ask (result i64)))
(func $verify (param i32 i32) (result i32)
  (drop (call $ask))
  (call $accept))
