;; what: Requests an endpoint to which the host adds a cookie, while it verifies a token.
;; call: verify
;; outcome: rejected unknown
;; grants: http
;; base: http-send-on

(data $label "cookies")
(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $request (i32.const 0))
  ;; The error `not-granted`.
  (call $expect (i32.const 0)))
