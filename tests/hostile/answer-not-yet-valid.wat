;; what: Rejects every token as `not-yet-valid`.
;; call: verify
;; outcome: rejected not-yet-valid

(func $verify (param i32 i32) (result i32)
  (call $reject (i32.const 3)))
