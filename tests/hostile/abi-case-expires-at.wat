;; what: Returns case 255 of the option `expires-at` from `verify`.
;; call: verify
;; outcome: bad-result

(func $verify (param i32 i32) (result i32)
  (i32.store8 offset=80 (global.get $verdict) (i32.const 255))
  (call $accept))
