;; what: Stores the token that it was shown, and returns it to the next caller.
;; call: verify
;; outcome: rejected unknown
;; twice: same

(func $verify (param i32 i32) (result i32)
  ;; 0x18000 is far above the addresses that $realloc returns.
  (if (i32.load (i32.const 0x18000)) (then (return (call $accept))))
  (memory.copy (i32.const 0x18000) (local.get 0) (local.get 1))
  (call $reject (i32.const 6)))
