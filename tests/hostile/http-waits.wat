;; what: Waits for an endpoint that never responds.
;; call: verify
;; outcome: store
;; grants: silent-http
;; base: http-send-on

(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $parameter (i32.const 0) (global.get $message.ptr) (global.get $message.len))
  (call $request (i32.const 1))
  (call $accept))
