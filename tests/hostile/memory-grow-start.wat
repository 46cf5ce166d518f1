;; what: Requests 2 GiB in the start function.
;; call: load
;; outcome: limit-memory

(func $begin (drop (memory.grow (i32.const 0x8000))))
(start $begin)
