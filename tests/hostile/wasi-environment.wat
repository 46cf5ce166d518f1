;; what: Looks for variables, arguments and a working directory: there are none.
;; call: verify
;; outcome: ok
;; grants: wasi
;; world: wasi

(import "wasi:cli/environment@0.2.0" "get-environment" (func $environment (param i32)))
(import "wasi:cli/environment@0.2.0" "get-arguments" (func $arguments (param i32)))
(import "wasi:cli/environment@0.2.0" "initial-cwd" (func $folder (param i32)))

(func $verify (param i32 i32) (result i32)
  (call $environment (global.get $out))
  (if (i32.load offset=4 (global.get $out)) (then unreachable))
  (call $arguments (global.get $out))
  (if (i32.load offset=4 (global.get $out)) (then unreachable))
  (call $folder (global.get $out))
  (if (i32.load8_u (global.get $out)) (then unreachable))
  (call $accept))
