;; what: Creates timers without end, and keeps them.
;; call: verify
;; outcome: trap
;; grants: wasi
;; world: wasi

(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $timer (param i64) (result i32)))

(func $verify (param i32 i32) (result i32)
  (loop $again
    (drop (call $timer (i64.const 1)))
    (br $again))
  (unreachable))
