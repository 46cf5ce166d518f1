;; what: Verifies 1,990 signatures of 256 KiB in straight-line code: the host copies each of them.
;; call: verify
;; outcome: limit-host-work
;; grants: keys

(component
  (include lowered)
  (import "keyward:handler/keys@0.1.0" (instance $keys
    (type $error (enum "not-granted" "not-permitted-now"))
    (export "key-error" (type $key-error (eq $error)))
    (export "verify" (func
      (param "label" string) (param "message" (list u8)) (param "signature" (list u8))
      (result (result bool (error $key-error)))))))
  (alias export $keys "verify" (func $import))
  (core func $lowered (canon lower (func $import) (memory $m "memory") (realloc (func $m "cabi_realloc"))))
  (core module $main
    (import "m" "memory" (memory 128))
    (import "h" "call" (func $call (param i32 i32 i32 i32 i32 i32 i32)))
    (func (export "create") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
      unreachable)
    (func (export "verify") (param i32 i32) (result i32)
      (repeat 1990
        (call $call (i32.const 0x1100) (i32.const 4) (i32.const 0x20000) (i32.const 0)
          (i32.const 0x20000) (i32.const 262_000) (i32.const 0x600)))
      (i32.const 0x400)))
  (core instance $i (instantiate $main
    (with "m" (instance $m))
    (with "h" (instance (export "call" (func $lowered))))))
  (include lifted))
