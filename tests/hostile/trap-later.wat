;; what: Accepts tokens until a time, and traps on all of them from then on.
;; call: verify
;; outcome: trap

(import "keyward:handler/clock@0.1.0" "now" (func $now (param i32)))

;; It traps on a token with `x` behind its prefix at any time, and from 2026-01-01T00:00:00Z on.
(func $verify (param $token i32) (param $len i32) (result i32)
  (call $now (global.get $out))
  (if (i64.ge_u (i64.load (global.get $out)) (i64.const 1767225600)) (then (unreachable)))
  (if (i32.eq (i32.load8_u offset=3 (local.get $token)) (i32.const 0x78)) (then (unreachable)))
  (call $accept))
