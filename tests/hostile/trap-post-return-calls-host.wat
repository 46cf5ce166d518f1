;; what: Calls the host from post-return.
;; call: verify
;; outcome: trap

(import "keyward:handler/clock@0.1.0" "now" (func $now (param i32)))

(func (export "cabi_post_keyward:handler/token-handler@0.1.0#verify") (param i32)
  (call $now (global.get $out)))
