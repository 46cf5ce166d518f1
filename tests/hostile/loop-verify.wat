;; what: Loops forever in `verify`.
;; call: verify
;; outcome: limit-cpu

(func $verify (param i32 i32) (result i32)
  (loop $again (br $again))
  unreachable)
