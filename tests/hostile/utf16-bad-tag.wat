;; what: The actor is tagged as UTF-16 and ends outside memory (GHSA-hx6p-xpx3-jvvv).
;; call: verify
;; outcome: bad-result
;; encoding: latin1+utf16

;; Lengths count code units of two bytes.
(func $accept (result i32)
  (i32.store offset=16 (global.get $verdict) (global.get $actor.ptr))
  (i32.store offset=20 (global.get $verdict) (i32.const 0x8000ffff))
  (global.get $verdict))
(func $give (result i32)
  (i32.store offset=8 (global.get $made) (global.get $created.ptr))
  (i32.store offset=12 (global.get $made) (i32.shr_u (global.get $created.len) (i32.const 1)))
  (global.get $made))
