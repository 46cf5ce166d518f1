;; what: Denies every token as `invalid-request`.
;; call: create
;; outcome: denied invalid-request

(func $create (type $create)
  (call $deny (i32.const 1)))
