;; what: Control: adds a parameter of 4,096 bytes with its name.
;; call: verify
;; outcome: ok
;; grants: http
;; base: http-send-on

(memory $memory 3)
(func $verify (param $token i32) (param $token.len i32) (result i32)
  (memory.fill (i32.const 0x20000) (i32.const 0x61) (i32.const 4094))
  (call $parameter (i32.const 0) (i32.const 0x20000) (i32.const 4094))
  (call $request (i32.const 1))
  (call $expect (i32.const 1)))
