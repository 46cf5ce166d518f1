;; what: Answers cabi_realloc with an address outside of memory.
;; call: verify
;; outcome: bad-result

(func $realloc (param i32 i32 i32 i32) (result i32)
  (i32.const 0xfffffff0))
