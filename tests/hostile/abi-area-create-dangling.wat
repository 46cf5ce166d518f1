;; what: The result area of `create` lies outside memory.
;; call: create
;; outcome: bad-result

(func $create (type $create)
  (i32.const 0xfffffff8))
