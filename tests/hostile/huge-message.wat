;; what: The message of a rejection has 1 MiB.
;; call: verify
;; outcome: limit-host-bytes

(memory $memory 20)
(func $verify (param i32 i32) (result i32)
  (drop (call $reject (i32.const 0)))
  (i32.store offset=24 (global.get $verdict) (i32.const 0x100000))
  (global.get $verdict))
