;; what: Counts calls in a global: each call must be the first.
;; call: verify
;; outcome: ok
;; actor: {"id":"hostile:alice","n":1}
;; twice: same

(data $actor "{\"id\":\"hostile:alice\",\"n\":0}")
(global $calls (mut i32) (i32.const 0))

(func $verify (param i32 i32) (result i32)
  (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
  ;; The digit is two bytes before the end.
  (i32.store8
    (i32.sub (i32.add (global.get $actor.ptr) (global.get $actor.len)) (i32.const 2))
    (i32.add (global.get $calls) (i32.const 0x30)))
  (call $accept))
