;; what: Returns a boolean from `verify`.
;; call: load
;; outcome: wrong-type
;; wit: verify: func(token: string) -> result<verdict, failure>; => verify: func(token: string) -> bool;

(func $verify (param i32 i32) (result i32)
  (i32.const 1))
