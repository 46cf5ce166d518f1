;; what: Returns case 2 of the option `expires-at` from `create`.
;; call: create
;; outcome: bad-result

(func $create (type $create)
  (i32.store8 offset=32 (global.get $made) (i32.const 2))
  (call $give))
