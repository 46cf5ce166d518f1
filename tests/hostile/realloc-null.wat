;; what: No attack: puts what comes in at the address 0.
;; call: verify
;; outcome: ok

(func $realloc (param i32 i32 i32 i32) (result i32)
  (i32.const 0))
