;; what: Logs 256 KiB 1,990 times in straight-line code: even dropped lines cost escaping.
;; call: verify
;; outcome: limit-host-work

(component
  (include lowered)
  (import "keyward:handler/log@0.1.0" (instance $log
    (type $level (enum "debug" "info" "warn" "error"))
    (export "level" (type $level2 (eq $level)))
    (export "write" (func (param "level" $level2) (param "message" string)))))
  (alias export $log "write" (func $import))
  (core func $lowered (canon lower (func $import) (memory $m "memory") (realloc (func $m "cabi_realloc"))))
  (core module $main
    (import "m" "memory" (memory 128))
    (import "h" "call" (func $call (param i32 i32 i32)))
    (func (export "create") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
      unreachable)
    (func (export "verify") (param i32 i32) (result i32)
      (repeat 1990
        (call $call (i32.const 0) (i32.const 0x20000) (i32.const 262_144)))
      (i32.const 0x400)))
  (core instance $i (instantiate $main
    (with "m" (instance $m))
    (with "h" (instance (export "call" (func $lowered))))))
  (include lifted))
