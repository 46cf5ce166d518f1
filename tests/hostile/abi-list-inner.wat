;; what: The name of the second of two databases lies outside memory.
;; call: verify
;; outcome: bad-result

;; Two entries of 16 bytes: name, list of actions.
(data $databases
  "\00\40\00\00" "\01\00\00\00" "\00\40\00\00" "\00\00\00\00"
  "\f0\ff\ff\ff" "\01\00\00\00" "\00\40\00\00" "\00\00\00\00")
(func $verify (param i32 i32) (result i32)
  (i32.store8 offset=24 (global.get $verdict) (i32.const 1))
  (i32.store offset=36 (global.get $verdict) (global.get $databases.ptr))
  (i32.store offset=40 (global.get $verdict) (i32.const 2))
  (call $accept))
