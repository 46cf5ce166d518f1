;; what: Adds a parameter that is not UTF-8.
;; call: verify
;; outcome: bad-result
;; grants: http
;; base: http-send-on

(data $name "i\ff")
(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $parameter (i32.const 0) (global.get $message.ptr) (global.get $message.len))
  (call $request (i32.const 1))
  (call $accept))
