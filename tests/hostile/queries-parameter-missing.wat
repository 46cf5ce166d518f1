;; what: Runs a query without its parameter.
;; call: verify
;; outcome: rejected unknown
;; grants: queries
;; base: queries-ask-on

(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $query (i32.const 0))
  ;; The error `wrong-parameters`.
  (if (result i32) (i32.and (i32.load8_u (global.get $out)) (i32.eq (i32.load8_u offset=4 (global.get $out)) (i32.const 1)))
    (then (call $reject (i32.const 6)))
    (else (call $accept))))
