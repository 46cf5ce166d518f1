;; what: Imports the clock of a package with a similar name.
;; call: load
;; outcome: unknown-import
;; wit: world handler { => package keyward:handlers@0.1.0 { interface clock { now: func() -> u64; } } world handler { import keyward:handlers/clock@0.1.0;

(import "keyward:handlers/clock@0.1.0" "now" (func $now (result i64)))
(func $verify (param i32 i32) (result i32)
  (drop (call $now))
  (call $accept))
