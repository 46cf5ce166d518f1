;; what: The created token lies outside memory.
;; call: create
;; outcome: bad-result

(func $create (type $create)
  (drop (call $give))
  (i32.store offset=8 (global.get $made) (i32.const 0xfffffff0))
  (global.get $made))
