;; what: Lists a resource of a database twice in the restrictions: they are merged.
;; call: verify
;; outcome: ok
;; actor: {"id":"hostile:alice","_r":{"r":{"db":{"db":[]}}}}

(data $name "db")
(data $resources (repeat 48 "\00"))

(func $verify (param i32 i32) (result i32)
  (i32.store (global.get $resources.ptr) (global.get $name.ptr))
  (i32.store offset=4 (global.get $resources.ptr) (global.get $name.len))
  (i32.store offset=8 (global.get $resources.ptr) (global.get $name.ptr))
  (i32.store offset=12 (global.get $resources.ptr) (global.get $name.len))
  ;; The second entry is the first: ("db", "db", []).
  (memory.copy (i32.add (global.get $resources.ptr) (i32.const 24)) (global.get $resources.ptr) (i32.const 24))
  (i32.store8 offset=24 (global.get $verdict) (i32.const 1))
  (i32.store offset=44 (global.get $verdict) (global.get $resources.ptr))
  (i32.store offset=48 (global.get $verdict) (i32.const 2))
  (call $accept))
