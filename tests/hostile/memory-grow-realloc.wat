;; what: Requests 2 GiB in cabi_realloc.
;; call: verify
;; outcome: limit-memory

(func $realloc (param i32 i32 i32 i32) (result i32)
  (drop (memory.grow (i32.const 0x8000)))
  (i32.const 0x10000))
