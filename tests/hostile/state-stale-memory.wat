;; what: Searches its memory for leftovers of others, then fills all of it.
;; call: verify
;; outcome: ok
;; actor: {"id":"hostile:alice"}
;; twice: same

(func $verify (param i32 i32) (result i32)
  (local $at i32)
  ;; From above the token to the end of memory.
  (local.set $at (i32.const 0x14000))
  (loop $scan
    (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then (return (call $reject (i32.const 0)))))
    (local.set $at (i32.add (local.get $at) (i32.const 8)))
    (br_if $scan (i32.lt_u (local.get $at) (i32.const 0x20000))))
  (memory.fill (i32.const 0x14000) (i32.const 0xaa) (i32.const 0xc000))
  (call $accept))
