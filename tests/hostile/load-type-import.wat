;; what: Imports a clock that returns one number.
;; call: load
;; outcome: wrong-type
;; wit: now: func() -> datetime; => now: func() -> u64;

(import "keyward:handler/clock@0.1.0" "now" (func $now (result i64)))
(func $verify (param i32 i32) (result i32)
  (drop (call $now))
  (call $accept))
