;; what: Answers verify with case 255 of `expires-at`, which has no such case.
;; call: verify
;; outcome: bad-result

(func $verify (param i32 i32) (result i32)
  (i32.store8 offset=80 (global.get $verdict) (i32.const 255))
  (call $accept))
