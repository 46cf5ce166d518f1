;; what: Returns case 3 of `verdict`, which has three cases, from `verify`.
;; call: verify
;; outcome: bad-result

(func $verify (param i32 i32) (result i32)
  (i32.store8 offset=8 (global.get $verdict) (i32.const 3))
  (call $accept))
