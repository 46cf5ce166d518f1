;; what: Executes `unreachable` in `verify`.
;; call: verify
;; outcome: trap

(func $verify (param i32 i32) (result i32)
  unreachable)
