;; what: Lets the host write the token over the result area: `h` is not a case of a result.
;; call: verify
;; outcome: bad-result

(func $realloc (param i32 i32 i32 i32) (result i32)
  (global.get $verdict))
