;; what: Returns a list of databases whose lists of actions are the list itself.
;; call: verify
;; outcome: bad-result

;; Each entry points to the list as its name and as its actions. The bytes 0xff are not UTF-8.
(data $databases
  "\00\20\00\00" "\20\00\00\00" "\00\20\00\00" "\04\00\00\00"
  "\ff\ff\ff\ff" "\ff\ff\ff\ff" "\ff\ff\ff\ff" "\ff\ff\ff\ff")
(func $verify (param i32 i32) (result i32)
  (i32.store8 offset=24 (global.get $verdict) (i32.const 1))
  (i32.store offset=36 (global.get $verdict) (global.get $databases.ptr))
  (i32.store offset=40 (global.get $verdict) (i32.const 2))
  (call $accept))
