;; what: Passes a query a value of an unknown kind.
;; call: verify
;; outcome: bad-result
;; grants: queries
;; base: queries-ask-on

(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $parameter (i32.const 0) (global.get $message.ptr) (global.get $message.len))
  (i32.store8 offset=8 (global.get $parameters) (i32.const 5))
  (call $query (i32.const 1))
  (call $accept))
