;; what: Rejects every token as `disabled`.
;; call: verify
;; outcome: rejected disabled

(func $verify (param i32 i32) (result i32)
  (call $reject (i32.const 5)))
