;; what: Sleeps for an hour; the timer is over at once.
;; call: verify
;; outcome: ok
;; grants: wasi
;; world: wasi

(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $timer (param i64) (result i32)))
(import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
(import "wasi:io/poll@0.2.0" "[resource-drop]pollable" (func $drop (param i32)))

(func $verify (param i32 i32) (result i32)
  (local $timer i32)
  (local.set $timer (call $timer (i64.const 3_600_000_000_000)))
  (call $block (local.get $timer))
  (call $drop (local.get $timer))
  (call $accept))
