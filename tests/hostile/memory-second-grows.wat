;; what: Has two memories and grows the second until both together exceed the limit.
;; call: verify
;; outcome: limit-memory

(memory $memory 120)
(memory $second 120)
(func $verify (param i32 i32) (result i32)
  (drop (memory.grow $second (i32.const 17)))
  (call $accept))
