;; what: Adds a parameter of 1 MiB.
;; call: verify
;; outcome: limit-host-bytes
;; grants: http
;; base: http-send-on

(memory $memory 20)
(func $verify (param $token i32) (param $token.len i32) (result i32)
  (memory.fill (i32.const 0x20000) (i32.const 0x61) (i32.const 0x100000))
  (call $parameter (i32.const 0) (i32.const 0x20000) (i32.const 0x100000))
  (call $request (i32.const 1))
  (call $accept))
