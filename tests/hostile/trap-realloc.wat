;; what: Executes `unreachable` in cabi_realloc.
;; call: verify+create
;; outcome: trap

(func $realloc (param i32 i32 i32 i32) (result i32)
  unreachable)
