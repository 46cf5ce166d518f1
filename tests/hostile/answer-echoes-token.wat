;; what: Writes the presented token into its log and into its message.
;; call: verify
;; outcome: rejected unknown

(import "keyward:handler/log@0.1.0" "write" (func $log (param i32 i32 i32)))

(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $log (i32.const 3) (local.get $token) (local.get $token.len))
  (drop (call $reject (i32.const 6)))
  (i32.store offset=20 (global.get $verdict) (local.get $token))
  (i32.store offset=24 (global.get $verdict) (local.get $token.len))
  (global.get $verdict))
