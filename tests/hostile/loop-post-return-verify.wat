;; what: Returns a valid result from `verify`, then loops forever in post-return.
;; call: verify
;; outcome: limit-cpu

(func (export "cabi_post_keyward:handler/token-handler@0.1.0#verify") (param i32)
  (loop $again (br $again)))
