;; what: Reads the clock a million times in `create`.
;; call: create
;; outcome: limit-host-calls

(import "keyward:handler/clock@0.1.0" "now" (func $now (param i32)))

(func $create (type $create)
  (local $n i32)
  (loop $again
    (call $now (global.get $out))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 1_000_000))))
  (call $give))
