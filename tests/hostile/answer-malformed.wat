;; what: Rejects every token as `malformed`.
;; call: verify
;; outcome: rejected malformed

(func $verify (param i32 i32) (result i32)
  (call $reject (i32.const 0)))
