;; what: Grows memory by zero pages forever: every attempt succeeds.
;; call: verify
;; outcome: limit-cpu

(func $verify (param i32 i32) (result i32)
  (loop $again
    (drop (memory.grow (i32.const 0)))
    (br $again))
  unreachable)
