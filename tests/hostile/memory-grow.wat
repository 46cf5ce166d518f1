;; what: Grows memory a page at a time without end.
;; call: verify
;; outcome: limit-memory

(func $verify (param i32 i32) (result i32)
  (loop $again
    (drop (memory.grow (i32.const 1)))
    (br $again))
  unreachable)
