;; what: Answers cabi_realloc with -1.
;; call: verify
;; outcome: bad-result

(func $realloc (param i32 i32 i32 i32) (result i32)
  (i32.const -1))
