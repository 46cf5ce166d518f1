;; what: Requests a URL instead of a label.
;; call: verify
;; outcome: rejected unknown
;; grants: http
;; base: http-send-on

(data $label "http://169.254.169.254/latest/meta-data/")
(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $parameter (i32.const 0) (global.get $message.ptr) (global.get $message.len))
  (call $request (i32.const 1))
  ;; The error `not-granted`.
  (call $expect (i32.const 0)))
