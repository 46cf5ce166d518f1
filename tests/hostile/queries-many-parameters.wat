;; what: Passes a query 20,000 parameters.
;; call: verify
;; outcome: limit-host-bytes
;; grants: queries
;; base: queries-ask-on

(memory $memory 20)
(global $parameters i32 (i32.const 0x20000))
(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $query (i32.const 20000))
  (call $accept))
