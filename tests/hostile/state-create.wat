;; what: Counts in create, and makes a token of the count; each call must be the first.
;; call: create
;; outcome: ok
;; twice: same

(data $created "ho_0")
(func $create (type $create)
  (i32.store8 offset=3
    (global.get $created.ptr)
    (i32.add (i32.load8_u offset=3 (global.get $created.ptr)) (i32.const 1)))
  (call $give))
