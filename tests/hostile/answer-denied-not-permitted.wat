;; what: Denies every token as `not-permitted`.
;; call: create
;; outcome: denied not-permitted

(func $create (type $create)
  (call $deny (i32.const 2)))
