;; what: An action in the restrictions is not UTF-8.
;; call: verify
;; outcome: bad-result

(data $actions "\10\20\00\00" "\01\00\00\00")
;; 0x2010 is the address of $bad.
(data $bad "\ff")
(func $verify (param i32 i32) (result i32)
  (i32.store8 offset=24 (global.get $verdict) (i32.const 1))
  (i32.store (global.get $actions.ptr) (global.get $bad.ptr))
  (i32.store offset=28 (global.get $verdict) (global.get $actions.ptr))
  (i32.store offset=32 (global.get $verdict) (i32.const 1))
  (call $accept))
