;; what: Looks up a secret of 256 KiB 16 times in straight-line code: the maximum number of lookups.
;; call: verify
;; outcome: ok
;; grants: store

(component
  (include lowered)
  (import "keyward:handler/store@0.1.0" (instance $store
    (alias outer 1 $restrictions (type $outer))
    (export "restrictions" (type $restrictions (eq $outer)))
    (type $ending (enum "revoked" "replaced"))
    (export "ending" (type $ending2 (eq $ending)))
    (type $token (record
      (field "id" string) (field "actor-id" string) (field "restrictions" (option $restrictions))
      (field "issued-at" u64) (field "expires-at" (option u64)) (field "ended" (option $ending2))))
    (export "token" (type $token2 (eq $token)))
    (export "find-secret" (func (param "secret" string) (result (option $token2))))))
  (alias export $store "find-secret" (func $import))
  (core func $lowered (canon lower (func $import) (memory $m "memory") (realloc (func $m "cabi_realloc"))))
  (core module $main
    (import "m" "memory" (memory 128))
    (import "h" "call" (func $call (param i32 i32 i32)))
    (func (export "create") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
      unreachable)
    (func (export "verify") (param i32 i32) (result i32)
      (repeat 16
        (call $call (i32.const 0x20000) (i32.const 262_144) (i32.const 0x600)))
      (i32.const 0x400)))
  (core instance $i (instantiate $main
    (with "m" (instance $m))
    (with "h" (instance (export "call" (func $lowered))))))
  (include lifted))
