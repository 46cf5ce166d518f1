;; what: Returns the last byte of memory from cabi_realloc, for a token that is longer.
;; call: verify
;; outcome: bad-result

(func $realloc (param i32 i32 i32 i32) (result i32)
  (i32.const 0x1ffff))
