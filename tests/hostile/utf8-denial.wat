;; what: The message of a denial is not UTF-8.
;; call: create
;; outcome: bad-result

(data $message "\fe\ff")
(func $create (type $create)
  (call $deny (i32.const 0)))
