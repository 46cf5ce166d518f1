;; what: Control: queries the operator's database as often as allowed, and finds the expected rows.
;; call: verify+create
;; outcome: ok
;; grants: queries
;; base: queries-ask-on

(func $ask
  (local $n i32)
  (call $parameter (i32.const 0) (global.get $message.ptr) (global.get $message.len))
  (loop $again
    (call $query (i32.const 1))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 16))))
  ;; One row, which holds the text.
  (if (i32.load8_u (global.get $out)) (then unreachable))
  (if (i32.ne (i32.load offset=16 (global.get $out)) (i32.const 1)) (then unreachable))
  (local.set $n (i32.load (i32.load offset=12 (global.get $out))))
  (if (i32.ne (i32.load8_u (local.get $n)) (i32.const 3)) (then unreachable))
  (if (i32.ne (i32.load offset=12 (local.get $n)) (global.get $message.len)) (then unreachable)))
