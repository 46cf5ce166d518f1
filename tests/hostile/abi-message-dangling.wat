;; what: The message of a rejection lies outside memory.
;; call: verify
;; outcome: bad-result

(func $verify (param i32 i32) (result i32)
  (drop (call $reject (i32.const 0)))
  (i32.store offset=20 (global.get $verdict) (i32.const 0xfffffff0))
  (global.get $verdict))
