;; what: The result area of `create` ends one word outside memory.
;; call: create
;; outcome: bad-result

(func $create (type $create)
  (i32.const 0x1ffd8))
