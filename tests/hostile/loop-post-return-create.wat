;; what: Returns a valid result from `create`, then loops forever in post-return.
;; call: create
;; outcome: limit-cpu

(func (export "cabi_post_keyward:handler/token-handler@0.1.0#create") (param i32)
  (loop $again (br $again)))
