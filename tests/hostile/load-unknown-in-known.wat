;; what: Imports a function that the clock does not have.
;; call: load
;; outcome: unknown-import
;; wit: now: func() -> datetime; => now: func() -> datetime; sleep: func(seconds: u64);

(import "keyward:handler/clock@0.1.0" "sleep" (func $sleep (param i64)))
(func $verify (param i32 i32) (result i32)
  (call $sleep (i64.const 1000))
  (call $accept))
