;; what: Rejects every token as `expired`.
;; call: verify
;; outcome: rejected expired

(func $verify (param i32 i32) (result i32)
  (call $reject (i32.const 2)))
