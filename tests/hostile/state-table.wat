;; what: Stores a function in a table, and checks whether it is still there in the next call.
;; call: verify
;; outcome: rejected unknown
;; twice: same

(table $table 4 funcref)
(elem declare func $accept)
(func $verify (param i32 i32) (result i32)
  (if (i32.eqz (ref.is_null (table.get $table (i32.const 3)))) (then (return (call $accept))))
  (table.set $table (i32.const 3) (ref.func $accept))
  (call $reject (i32.const 6)))
