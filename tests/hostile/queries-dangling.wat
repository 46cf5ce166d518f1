;; what: Passes a query parameters that lie outside its memory.
;; call: verify
;; outcome: bad-result
;; grants: queries
;; base: queries-ask-on

(global $parameters i32 (i32.const 0x7fffff00))
(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $query (i32.const 1))
  (call $accept))
