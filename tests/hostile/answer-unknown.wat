;; what: Rejects every token as `unknown`.
;; call: verify
;; outcome: rejected unknown

(func $verify (param i32 i32) (result i32)
  (call $reject (i32.const 6)))
