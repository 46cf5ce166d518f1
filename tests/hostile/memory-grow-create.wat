;; what: Grows memory a page at a time in `create`.
;; call: create
;; outcome: limit-memory

(func $create (type $create)
  (loop $again
    (drop (memory.grow (i32.const 1)))
    (br $again))
  unreachable)
