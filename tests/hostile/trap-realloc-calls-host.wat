;; what: Calls the host from cabi_realloc while the host passes the arguments.
;; call: verify
;; outcome: trap

(import "keyward:handler/clock@0.1.0" "now" (func $now (param i32)))

(func $realloc (param i32 i32 i32 i32) (result i32)
  (call $now (global.get $out))
  (i32.const 0x10000))
