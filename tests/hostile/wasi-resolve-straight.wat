;; what: Resolves names of 200 KB in UTF-16 1,990 times in straight-line code that meets no tick.
;; call: verify
;; outcome: limit-cpu
;; grants: wasi

(component
  (include lowered)
  (import "wasi:sockets/network@0.2.0" (instance $net
    (export "network" (type (sub resource)))
    (type $ec (enum "unknown" "access-denied" "not-supported" "invalid-argument" "out-of-memory" "timeout" "concurrency-conflict" "not-in-progress" "would-block" "invalid-state" "new-socket-limit" "address-not-bindable" "address-in-use" "remote-unreachable" "connection-refused" "connection-reset" "connection-aborted" "datagram-too-large" "name-unresolvable" "temporary-resolver-failure" "permanent-resolver-failure"))
    (export "error-code" (type (eq $ec)))))
  (alias export $net "network" (type $network))
  (alias export $net "error-code" (type $code))
  (import "wasi:sockets/instance-network@0.2.0" (instance $in
    (alias outer 1 $network (type $o))
    (export "network" (type $o2 (eq $o)))
    (export "instance-network" (func (result (own $o2))))))
  (import "wasi:sockets/ip-name-lookup@0.2.0" (instance $look
    (alias outer 1 $network (type $o))
    (export "network" (type $o2 (eq $o)))
    (alias outer 1 $code (type $c))
    (export "error-code" (type $c2 (eq $c)))
    (export "resolve-address-stream" (type $st (sub resource)))
    (export "resolve-addresses" (func (param "network" (borrow $o2)) (param "name" string) (result (result (own $st) (error $c2)))))))
  (alias export $look "resolve-addresses" (func $w))
  (alias export $in "instance-network" (func $g))
  (core func $lw (canon lower (func $w) (memory $m "memory") string-encoding=utf16))
  (core func $lg (canon lower (func $g)))
  (core module $main
    (import "m" "memory" (memory 128))
    (import "h" "resolve" (func $resolve (param i32 i32 i32 i32)))
    (import "h" "get" (func $network (result i32)))
    (func (export "create") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
      unreachable)
    (func (export "verify") (param i32 i32) (result i32)
      (local $s i32)
      (local.set $s (call $network))
      (memory.fill (i32.const 0x20000) (i32.const 0x31) (i32.const 200000))
      (repeat 1990 (call $resolve (local.get $s) (i32.const 0x20000) (i32.const 100_000) (i32.const 0x600))) 
      (i32.const 0x400)))
  (core instance $i (instantiate $main
    (with "m" (instance $m))
    (with "h" (instance (export "resolve" (func $lw)) (export "get" (func $lg))))))
  (include lifted))
