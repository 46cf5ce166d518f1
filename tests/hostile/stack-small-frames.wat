;; what: Recurses endlessly with small frames.
;; call: verify
;; outcome: limit-stack

(func $down (result i32)
  (i32.add (call $down) (i32.const 1)))
(func $verify (param i32 i32) (result i32)
  (call $down))
