;; what: The result area of `create` is aligned to 4 instead of 8.
;; call: create
;; outcome: bad-result

(func $create (type $create)
  (i32.const 0x504))
