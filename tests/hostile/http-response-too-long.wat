;; what: Requests a response that does not fit into its memory.
;; call: verify
;; outcome: limit-host-work
;; grants: http
;; base: http-send-on

(data $label "long")
(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $parameter (i32.const 0) (global.get $message.ptr) (global.get $message.len))
  (call $request (i32.const 1))
  (call $accept))
