;; what: Creates a TCP socket, which is refused.
;; call: verify
;; outcome: rejected unknown
;; grants: wasi
;; world: wasi

(import "wasi:sockets/tcp-create-socket@0.2.0" "create-tcp-socket" (func $socket (param i32 i32)))

(func $verify (param i32 i32) (result i32)
  (call $socket (i32.const 0) (global.get $out))
  (if (i32.load8_u (global.get $out)) (then (return (call $reject (i32.const 6)))))
  (call $accept))
