;; what: Grows its memory, and checks whether it is still larger in the next call.
;; call: verify
;; outcome: rejected unknown
;; twice: same

(func $verify (param i32 i32) (result i32)
  (if (i32.ne (memory.size) (i32.const 2)) (then (return (call $accept))))
  (drop (memory.grow (i32.const 1)))
  (call $reject (i32.const 6)))
