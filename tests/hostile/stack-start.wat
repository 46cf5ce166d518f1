;; what: Recurses endlessly in the start function.
;; call: load
;; outcome: limit-stack

(func $down (result i32)
  (i32.add (call $down) (i32.const 1)))
(func $begin (drop (call $down)))
(start $begin)
