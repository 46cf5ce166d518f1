;; what: Returns an address outside memory from cabi_realloc.
;; call: verify
;; outcome: bad-result

(func $realloc (param i32 i32 i32 i32) (result i32)
  (i32.const 0xfffffff0))
