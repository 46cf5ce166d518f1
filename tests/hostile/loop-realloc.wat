;; what: Loops forever in cabi_realloc while the host passes the arguments.
;; call: verify+create
;; outcome: limit-cpu

(func $realloc (param i32 i32 i32 i32) (result i32)
  (loop $again (br $again))
  unreachable)
