;; what: Recurses endlessly in `create`.
;; call: create
;; outcome: limit-stack

(func $down (result i32)
  (i32.add (call $down) (i32.const 1)))
(func $create (type $create)
  (call $down))
