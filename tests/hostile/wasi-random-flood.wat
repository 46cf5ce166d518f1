;; what: Draws random bytes without end.
;; call: verify
;; outcome: limit-host-work
;; grants: wasi
;; world: wasi

(import "wasi:random/random@0.2.0" "get-random-bytes" (func $random (param i64 i32)))

(func $verify (param i32 i32) (result i32)
  (loop $again
    (global.set $heap (i32.const 0x10000))
    (call $random (i64.const 0x8000) (global.get $out))
    (br $again))
  (unreachable))
