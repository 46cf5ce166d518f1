;; what: Rejects every token as `revoked`.
;; call: verify
;; outcome: rejected revoked

(func $verify (param i32 i32) (result i32)
  (call $reject (i32.const 4)))
