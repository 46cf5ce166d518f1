;; what: Names the actor after the cookie, so that logs and headers contain it.
;; call: identify
;; outcome: bad-result
;; world: token-and-session
;; base: session-benign

(data $begin "{\"id\":\"hostile:")
(data $end "\"}")
(func $identify (type $identify)
  (local $at i32)
  (local.set $at (i32.const 0x8000))
  (memory.copy (local.get $at) (global.get $begin.ptr) (global.get $begin.len))
  (local.set $at (i32.add (local.get $at) (global.get $begin.len)))
  (memory.copy (local.get $at) (i32.load offset=8 (local.get 6)) (i32.load offset=12 (local.get 6)))
  (local.set $at (i32.add (local.get $at) (i32.load offset=12 (local.get 6))))
  (memory.copy (local.get $at) (global.get $end.ptr) (global.get $end.len))
  (local.set $at (i32.add (local.get $at) (global.get $end.len)))
  (i32.store offset=16 (global.get $verdict) (i32.const 0x8000))
  (i32.store offset=20 (global.get $verdict) (i32.sub (local.get $at) (i32.const 0x8000)))
  (global.get $verdict))
