;; what: Creates the token that the description selects, and in odd seconds treats it differently.
;; call: verify
;; outcome: ok

;; The token id is the last four characters, and the expiry is 1,000 seconds after the tests' time.
;; In an odd second:      r another id          m no id                d no expiry      w no restrictions
;;                        b another actor       x expired              u unavailable    t a trap
;;                        v the id of another token                    f a later issue time
;; At any time:           n issued now, expires in 1,000 seconds       e never expires

(import "keyward:handler/clock@0.1.0" "now" (func $now (param i32)))

(data $other "else")
(data $victim "vict")
(data $bob "{\"id\":\"hostile:bob\"}")
(data $action "vt")
(global $end i64 (i64.const 1_767_226_600))
(global $actions i32 (i32.const 0x700))

(func $time (result i64)
  (call $now (global.get $out))
  (i64.load (global.get $out)))

(func $is-odd (result i32)
  (i32.wrap_i64 (i64.and (call $time) (i64.const 1))))

(func $create (type $create)
  (i32.store offset=8 (global.get $made) (local.get 12))
  (i32.store offset=12 (global.get $made) (local.get 13))
  (i32.store8 offset=16 (global.get $made) (i32.const 1))
  (i32.store offset=20 (global.get $made) (i32.sub (i32.add (local.get 12) (local.get 13)) (i32.const 4)))
  (i32.store offset=24 (global.get $made) (i32.const 4))
  (if (i32.and (local.get 2) (i32.ne (i32.load8_u offset=3 (local.get 12)) (i32.const 101)))
    (then
      (i32.store8 offset=32 (global.get $made) (i32.const 1))
      (i64.store offset=40 (global.get $made) (global.get $end))))
  (global.get $made))

(func $name (param $id i32) (param $len i32)
  (i32.store8 offset=52 (global.get $verdict) (i32.const 1))
  (i32.store offset=56 (global.get $verdict) (local.get $id))
  (i32.store offset=60 (global.get $verdict) (local.get $len)))

(func $ends (param $at i64)
  (i32.store8 offset=80 (global.get $verdict) (i32.const 1))
  (i64.store offset=88 (global.get $verdict) (local.get $at)))

(func $issued (param $at i64)
  (i32.store8 offset=64 (global.get $verdict) (i32.const 1))
  (i64.store offset=72 (global.get $verdict) (local.get $at)))

(func $verify (param $token i32) (param $len i32) (result i32)
  (local $face i32) (local $shown i32)
  (local.set $face (i32.load8_u offset=3 (local.get $token)))
  (local.set $shown (select (local.get $face) (i32.const 0) (call $is-odd)))
  (call $name (i32.sub (i32.add (local.get $token) (local.get $len)) (i32.const 4)) (i32.const 4))
  (call $ends (global.get $end))
  (if (i32.eq (local.get $face) (i32.const 119)) ;; w
    (then
      (i32.store (global.get $actions) (global.get $action.ptr))
      (i32.store offset=4 (global.get $actions) (global.get $action.len))
      (i32.store8 offset=24 (global.get $verdict) (i32.const 1))
      (i32.store offset=28 (global.get $verdict) (global.get $actions))
      (i32.store offset=32 (global.get $verdict) (i32.const 1))))
  (if (i32.eq (local.get $face) (i32.const 110)) ;; n
    (then
      (call $issued (call $time))
      (call $ends (i64.add (call $time) (i64.const 1_000)))))
  (if (i32.eq (local.get $face) (i32.const 101)) ;; e
    (then (i32.store8 offset=80 (global.get $verdict) (i32.const 0))))
  (if (i32.eq (local.get $shown) (i32.const 114)) ;; r
    (then (call $name (global.get $other.ptr) (global.get $other.len))))
  (if (i32.eq (local.get $shown) (i32.const 118)) ;; v
    (then (call $name (global.get $victim.ptr) (global.get $victim.len))))
  (if (i32.eq (local.get $shown) (i32.const 109)) ;; m
    (then (i32.store8 offset=52 (global.get $verdict) (i32.const 0))))
  (if (i32.eq (local.get $shown) (i32.const 100)) ;; d
    (then (i32.store8 offset=80 (global.get $verdict) (i32.const 0))))
  (if (i32.eq (local.get $shown) (i32.const 119)) ;; w
    (then (i32.store8 offset=24 (global.get $verdict) (i32.const 0))))
  (if (i32.eq (local.get $shown) (i32.const 102)) ;; f
    (then (call $issued (i64.add (call $time) (i64.const 50)))))
  (if (i32.eq (local.get $shown) (i32.const 116)) ;; t
    (then unreachable))
  (if (i32.eq (local.get $shown) (i32.const 120)) ;; x
    (then (return (call $reject (i32.const 2)))))
  (if (i32.eq (local.get $shown) (i32.const 117)) ;; u
    (then
      (i32.store8 (global.get $verdict) (i32.const 1))
      (i64.store offset=8 (global.get $verdict) (i64.const 0))
      (i64.store offset=16 (global.get $verdict) (i64.const 0))
      (i32.store offset=12 (global.get $verdict) (global.get $message.ptr))
      (i32.store offset=16 (global.get $verdict) (global.get $message.len))
      (return (global.get $verdict))))
  (if (i32.eq (local.get $shown) (i32.const 98)) ;; b
    (then
      (i32.store offset=16 (global.get $verdict) (global.get $bob.ptr))
      (i32.store offset=20 (global.get $verdict) (global.get $bob.len))
      (return (global.get $verdict))))
  (call $accept))
