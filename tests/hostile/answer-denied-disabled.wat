;; what: Denies every token as `disabled`.
;; call: create
;; outcome: denied disabled

(func $create (type $create)
  (call $deny (i32.const 0)))
