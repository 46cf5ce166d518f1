;; what: Reads outside its table.
;; call: verify
;; outcome: trap

(table $table 1 funcref)
(func $verify (param i32 i32) (result i32)
  (drop (table.get $table (i32.const 1)))
  (call $accept))
