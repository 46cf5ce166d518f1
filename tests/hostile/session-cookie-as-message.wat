;; what: Rejects with the cookie as its message.
;; call: identify
;; outcome: rejected unknown
;; world: token-and-session
;; base: session-benign

(func $identify (type $identify)
  (drop (call $reject (i32.const 6)))
  (i32.store offset=20 (global.get $verdict) (i32.load offset=8 (local.get 6)))
  (i32.store offset=24 (global.get $verdict) (i32.load offset=12 (local.get 6)))
  (global.get $verdict))
