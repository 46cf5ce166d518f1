;; what: Creates a token that it does not accept.
;; call: create
;; outcome: bad-token

(func $verify (param i32 i32) (result i32)
  (call $reject (i32.const 6)))
