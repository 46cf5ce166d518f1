;; what: Returns a list of 100,000 databases, all with the same long name.
;; call: verify
;; outcome: limit-host-bytes

(memory $memory 40)
(func $verify (param i32 i32) (result i32)
  (local $at i32)
  (local.set $at (i32.const 0x20000))
  (loop $again
    (i32.store (local.get $at) (i32.const 0x4000))
    (i32.store offset=4 (local.get $at) (i32.const 0x4000))
    (local.set $at (i32.add (local.get $at) (i32.const 16)))
    (br_if $again (i32.lt_u (local.get $at) (i32.const 1_731_072))))
  (i32.store8 offset=24 (global.get $verdict) (i32.const 1))
  (i32.store offset=36 (global.get $verdict) (i32.const 0x20000))
  (i32.store offset=40 (global.get $verdict) (i32.const 100_000))
  (call $accept))
