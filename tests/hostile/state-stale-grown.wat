;; what: Searches memory that it grows into for leftovers of others, then fills all of it.
;; call: verify
;; outcome: ok
;; actor: {"id":"hostile:alice"}
;; twice: same

(func $verify (param i32 i32) (result i32)
  (local $at i32)
  (drop (memory.grow (i32.const 64)))
  ;; From the first new page to the end of memory.
  (local.set $at (i32.const 0x20000))
  (loop $scan
    (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then (return (call $reject (i32.const 0)))))
    (local.set $at (i32.add (local.get $at) (i32.const 8)))
    (br_if $scan (i32.lt_u (local.get $at) (i32.const 0x420000))))
  (memory.fill (i32.const 0x20000) (i32.const 0xaa) (i32.const 0x400000))
  (call $accept))
