;; what: Returns case 2 of the option `restrictions` from `verify`.
;; call: verify
;; outcome: bad-result

(func $verify (param i32 i32) (result i32)
  (i32.store8 offset=24 (global.get $verdict) (i32.const 2))
  (call $accept))
