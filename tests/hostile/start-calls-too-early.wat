;; what: Calls the host from a core start function, before its imports are linked.
;; call: load
;; outcome: trap

(import "keyward:handler/clock@0.1.0" "now" (func $now (param i32)))

(func $begin (call $now (global.get $out)))
(start $begin)
