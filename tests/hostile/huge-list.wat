;; what: Returns a list of a million empty actions.
;; call: verify
;; outcome: limit-host-bytes

(memory $memory 200)
(func $verify (param i32 i32) (result i32)
  (i32.store8 offset=24 (global.get $verdict) (i32.const 1))
  (i32.store offset=28 (global.get $verdict) (i32.const 0x20000))
  (i32.store offset=32 (global.get $verdict) (i32.const 1_000_000))
  (call $accept))
