;; what: Converts NaN to an integer.
;; call: verify
;; outcome: trap

(func $verify (param i32 i32) (result i32)
  (i32.trunc_f64_u (f64.const nan)))
