;; what: Looks up the empty secret.
;; call: verify
;; outcome: rejected unknown
;; grants: secrets

(import "keyward:handler/secrets@0.1.0" "find" (func $find (param i32 i32 i32)))

(data $candidate "")
(func $verify (param i32 i32) (result i32)
  (call $find (global.get $candidate.ptr) (global.get $candidate.len) (global.get $out))
  ;; The attack succeeds unless the result is `none`.
  (if (i32.load8_u (global.get $out)) (then (return (call $accept))))
  (call $reject (i32.const 6)))
