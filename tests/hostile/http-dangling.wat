;; what: Adds parameters that lie outside its memory.
;; call: verify
;; outcome: bad-result
;; grants: http
;; base: http-send-on

(global $parameters i32 (i32.const 0x7fffff00))
(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $request (i32.const 1))
  (call $accept))
