;; what: Adds its parameter twice.
;; call: verify
;; outcome: rejected unknown
;; grants: http
;; base: http-send-on

(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $parameter (i32.const 0) (global.get $message.ptr) (global.get $message.len))
  (call $parameter (i32.const 1) (global.get $message.ptr) (global.get $message.len))
  (call $request (i32.const 2))
  ;; The error `wrong-parameter`.
  (call $expect (i32.const 1)))
