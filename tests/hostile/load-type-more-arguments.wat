;; what: Takes one more argument in `verify`.
;; call: load
;; outcome: wrong-type
;; wit: verify: func(token: string) => verify: func(token: string, more: u32)

(func $verify (param i32 i32 i32) (result i32)
  (call $accept))
