;; what: Requests 2 GiB at once.
;; call: verify
;; outcome: limit-memory

(func $verify (param i32 i32) (result i32)
  (drop (memory.grow (i32.const 0x8000)))
  (call $accept))
