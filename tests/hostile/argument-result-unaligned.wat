;; what: Has the time written to an unaligned address.
;; call: verify
;; outcome: bad-result

(import "keyward:handler/clock@0.1.0" "now" (func $now (param i32)))

(func $verify (param i32 i32) (result i32)
  (call $now (i32.const 0x604))
  (call $accept))
