;; what: Grows a memory past its own maximum forever, so that no attempt reaches a limit of the host.
;; call: verify
;; outcome: limit-memory

(memory $memory 2 2)
(func $verify (param i32 i32) (result i32)
  (loop $again
    (drop (memory.grow (i32.const 1)))
    (br $again))
  unreachable)
