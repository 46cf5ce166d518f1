;; what: Control: a guest whose strings are UTF-16.
;; call: verify+create
;; outcome: ok
;; actor: {"id":"hostile:alice"}
;; encoding: utf16

(data $actor "{\00\"\00i\00d\00\"\00:\00\"\00h\00o\00s\00t\00i\00l\00e\00:\00a\00l\00i\00c\00e\00\"\00}\00")
(data $created "h\00o\00_\00s\00t\00i\00l\00e\00")

;; Lengths count code units of two bytes.
(func $accept (result i32)
  (i32.store offset=16 (global.get $verdict) (global.get $actor.ptr))
  (i32.store offset=20 (global.get $verdict) (i32.shr_u (global.get $actor.len) (i32.const 1)))
  (global.get $verdict))
(func $give (result i32)
  (i32.store offset=8 (global.get $made) (global.get $created.ptr))
  (i32.store offset=12 (global.get $made) (i32.shr_u (global.get $created.len) (i32.const 1)))
  (global.get $made))
