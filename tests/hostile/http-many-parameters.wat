;; what: Adds 4,096 empty parameters.
;; call: verify
;; outcome: rejected unknown
;; grants: http
;; base: http-send-on

(memory $memory 20)
(global $parameters i32 (i32.const 0x20000))
(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $request (i32.const 0x1000))
  ;; The error `wrong-parameter`.
  (call $expect (i32.const 1)))
