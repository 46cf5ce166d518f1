;; what: Returns case 9 of the option `token-id` from `create`.
;; call: create
;; outcome: bad-result

(func $create (type $create)
  (i32.store8 offset=16 (global.get $made) (i32.const 9))
  (call $give))
