;; what: Returns a random actor: with fresh randomness, no two calls agree.
;; call: verify
;; outcome: rejected unknown
;; grants: wasi
;; world: wasi

(import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))

(func $verify (param i32 i32) (result i32)
  (if (i64.ne (call $random) (call $random)) (then (return (call $reject (i32.const 6)))))
  (call $accept))
