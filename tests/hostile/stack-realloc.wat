;; what: Recurses endlessly in cabi_realloc.
;; call: verify
;; outcome: limit-stack

(func $realloc (param i32 i32 i32 i32) (result i32)
  (i32.add (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 1)) (i32.const 1)))
