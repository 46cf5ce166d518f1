;; what: Returns a valid result, then executes `unreachable` in post-return.
;; call: verify
;; outcome: trap

(func (export "cabi_post_keyward:handler/token-handler@0.1.0#verify") (param i32)
  unreachable)
