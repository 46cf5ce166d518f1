;; what: Control: places what comes in at address 0.
;; call: verify
;; outcome: ok

(func $realloc (param i32 i32 i32 i32) (result i32)
  (i32.const 0))
