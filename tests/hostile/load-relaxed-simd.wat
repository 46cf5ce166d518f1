;; what: Uses relaxed SIMD, which differs from machine to machine.
;; call: load
;; outcome: invalid

(component
  (core module
    (func (param v128) (result v128) (i32x4.relaxed_trunc_f32x4_s (local.get 0)))))
