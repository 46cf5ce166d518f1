;; what: Waits for timers in a loop.
;; call: verify
;; outcome: limit-host-calls
;; grants: wasi
;; world: wasi

(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $timer (param i64) (result i32)))
(import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
(import "wasi:io/poll@0.2.0" "[resource-drop]pollable" (func $drop (param i32)))

(func $verify (param i32 i32) (result i32)
  (local $timer i32)
  (loop $again
    (local.set $timer (call $timer (i64.const 1)))
    (call $block (local.get $timer))
    (call $drop (local.get $timer))
    (br $again))
  (unreachable))
