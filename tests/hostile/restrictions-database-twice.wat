;; what: Lists a database twice in the restrictions: both lists are merged under one name.
;; call: verify
;; outcome: ok
;; actor: {"id":"hostile:alice","_r":{"d":{"db":["vi"]}}}

(data $name "db")
(data $action "vi")
(data $actions (repeat 8 "\00"))
(data $databases (repeat 32 "\00"))

(func $verify (param i32 i32) (result i32)
  (i32.store (global.get $actions.ptr) (global.get $action.ptr))
  (i32.store offset=4 (global.get $actions.ptr) (global.get $action.len))
  ;; ("db", ["vi"])
  (i32.store (global.get $databases.ptr) (global.get $name.ptr))
  (i32.store offset=4 (global.get $databases.ptr) (global.get $name.len))
  (i32.store offset=8 (global.get $databases.ptr) (global.get $actions.ptr))
  (i32.store offset=12 (global.get $databases.ptr) (i32.const 1))
  ;; ("db", [])
  (i32.store offset=16 (global.get $databases.ptr) (global.get $name.ptr))
  (i32.store offset=20 (global.get $databases.ptr) (global.get $name.len))
  (i32.store8 offset=24 (global.get $verdict) (i32.const 1))
  (i32.store offset=36 (global.get $verdict) (global.get $databases.ptr))
  (i32.store offset=40 (global.get $verdict) (i32.const 2))
  (call $accept))
