;; what: Denies with denial 3; there are three, from 0.
;; call: create
;; outcome: bad-result

(func $create (type $create)
  (call $deny (i32.const 3)))
