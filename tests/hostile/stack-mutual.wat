;; what: Recurses endlessly between two functions.
;; call: verify
;; outcome: limit-stack

(func $ping (result i32)
  (i32.add (call $pong) (i32.const 1)))
(func $pong (result i32)
  (i32.mul (call $ping) (i32.const 3)))
(func $verify (param i32 i32) (result i32)
  (call $ping))
