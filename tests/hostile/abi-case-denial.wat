;; what: Denies with denial 3, although the last is 2.
;; call: create
;; outcome: bad-result

(func $create (type $create)
  (call $deny (i32.const 3)))
