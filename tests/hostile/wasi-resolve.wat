;; what: Resolves a name, which is refused.
;; call: verify
;; outcome: rejected unknown
;; grants: wasi
;; world: wasi

(import "wasi:sockets/instance-network@0.2.0" "instance-network" (func $network (result i32)))
(import "wasi:sockets/ip-name-lookup@0.2.0" "resolve-addresses" (func $resolve (param i32 i32 i32 i32)))

(data $name "localhost")
(func $verify (param i32 i32) (result i32)
  (call $resolve (call $network) (global.get $name.ptr) (global.get $name.len) (global.get $out))
  (if (i32.load8_u (global.get $out)) (then (return (call $reject (i32.const 6)))))
  (call $accept))
