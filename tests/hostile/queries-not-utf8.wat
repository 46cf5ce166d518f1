;; what: Passes a query text that is not UTF-8.
;; call: verify
;; outcome: bad-result
;; grants: queries
;; base: queries-ask-on

(data $bad "\ff\fe")
(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $parameter (i32.const 0) (global.get $bad.ptr) (global.get $bad.len))
  (call $query (i32.const 1))
  (call $accept))
