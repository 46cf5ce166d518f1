;; what: Imports WASI without the grant.
;; call: load
;; outcome: not-granted
;; world: wasi

(import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))
(func $verify (param i32 i32) (result i32)
  (drop (call $random))
  (call $accept))
