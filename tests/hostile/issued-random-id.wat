;; what: Gives a token another random id at each verification.
;; call: create
;; outcome: bad-token

(import "keyward:handler/random@0.1.0" "bytes" (func $random (param i32 i32)))

;; Eight random bytes become eight of the letters from `@` to `O`.
(func $draw (result i32)
  (local $at i32)
  (call $random (i32.const 8) (global.get $out))
  (local.set $at (i32.load (global.get $out)))
  (i64.store (local.get $at)
    (i64.or
      (i64.and (i64.load (local.get $at)) (i64.const 0x0f0f0f0f0f0f0f0f))
      (i64.const 0x4040404040404040)))
  (local.get $at))

(func $create (type $create)
  (i32.store8 offset=16 (global.get $made) (i32.const 1))
  (i32.store offset=20 (global.get $made) (call $draw))
  (i32.store offset=24 (global.get $made) (i32.const 8))
  (call $give))

(func $verify (param i32 i32) (result i32)
  (i32.store8 offset=52 (global.get $verdict) (i32.const 1))
  (i32.store offset=56 (global.get $verdict) (call $draw))
  (i32.store offset=60 (global.get $verdict) (i32.const 8))
  (call $accept))
