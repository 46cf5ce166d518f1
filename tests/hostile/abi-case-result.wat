;; what: Returns case 7 of `result` from `verify`.
;; call: verify
;; outcome: bad-result

(func $verify (param i32 i32) (result i32)
  (i32.store8 offset=0 (global.get $verdict) (i32.const 7))
  (call $accept))
