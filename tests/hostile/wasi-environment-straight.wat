;; what: Asks for variables 3,000 times without a loop, so that it meets no tick.
;; call: verify
;; outcome: limit-host-calls
;; grants: wasi
;; world: wasi

(import "wasi:cli/environment@0.2.0" "get-environment" (func $environment (param i32)))

(func $verify (param i32 i32) (result i32)
  (repeat 3000 (call $environment (global.get $out)))
  (call $accept))
