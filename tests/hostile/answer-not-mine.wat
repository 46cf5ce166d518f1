;; what: Returns `not-mine` forevery token.
;; call: verify
;; outcome: not-mine

(func $verify (param i32 i32) (result i32)
  (i32.store8 offset=8 (global.get $verdict) (i32.const 1))
  (global.get $verdict))
