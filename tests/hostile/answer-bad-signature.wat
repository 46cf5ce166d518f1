;; what: Rejects every token as `bad-signature`.
;; call: verify
;; outcome: rejected bad-signature

(func $verify (param i32 i32) (result i32)
  (call $reject (i32.const 1)))
