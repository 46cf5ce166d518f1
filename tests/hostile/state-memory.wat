;; what: Counts calls in the memory of the result: each call must be the first.
;; call: verify
;; outcome: ok
;; actor: {"id":"hostile:alice","n":1}
;; twice: same

(data $actor "{\"id\":\"hostile:alice\",\"n\":0}")

(func $verify (param i32 i32) (result i32)
  (local $digit i32)
  ;; The digit is two bytes before the end.
  (local.set $digit (i32.sub (i32.add (global.get $actor.ptr) (global.get $actor.len)) (i32.const 2)))
  (i32.store8 (local.get $digit) (i32.add (i32.load8_u (local.get $digit)) (i32.const 1)))
  (call $accept))
