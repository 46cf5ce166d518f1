;; what: Loops for ever in cabi_realloc while the host hands the arguments over.
;; call: verify+create
;; outcome: limit-cpu

(func $realloc (param i32 i32 i32 i32) (result i32)
  (loop $again (br $again))
  unreachable)
