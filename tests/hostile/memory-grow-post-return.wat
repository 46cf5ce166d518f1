;; what: Requests 2 GiB in post-return.
;; call: verify
;; outcome: limit-memory

(func (export "cabi_post_keyward:handler/token-handler@0.1.0#verify") (param i32)
  (drop (memory.grow (i32.const 0x8000))))
