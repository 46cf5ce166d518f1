;; what: Keeps the token that it saw, and answers with it to the next caller.
;; call: verify
;; outcome: rejected unknown
;; twice: same

(func $verify (param i32 i32) (result i32)
  ;; 0x18000 is far above what $realloc gives out.
  (if (i32.load (i32.const 0x18000)) (then (return (call $accept))))
  (memory.copy (i32.const 0x18000) (local.get 0) (local.get 1))
  (call $reject (i32.const 6)))
