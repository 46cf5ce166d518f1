;; what: Returns case 2 of `create-error`, which has two cases, from `create`.
;; call: create
;; outcome: bad-result

(func $create (type $create)
  (i32.store8 offset=0 (global.get $made) (i32.const 1))
  (i32.store8 offset=8 (global.get $made) (i32.const 2))
  (global.get $made))
