;; what: Reads the clock without end.
;; call: verify
;; outcome: limit-host-calls
;; grants: wasi
;; world: wasi

(import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))

(func $verify (param i32 i32) (result i32)
  (loop $again
    (drop (call $now))
    (br $again))
  (unreachable))
