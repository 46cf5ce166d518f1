;; what: Counts calls of `create` in a global: each token must be created from the first count.
;; call: create
;; outcome: ok
;; twice: same

(data $created "ho_0")
(func $create (type $create)
  (i32.store8 offset=3
    (global.get $created.ptr)
    (i32.add (i32.load8_u offset=3 (global.get $created.ptr)) (i32.const 1)))
  (call $give))
