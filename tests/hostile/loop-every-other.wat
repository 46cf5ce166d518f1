;; what: Returns at once for some tokens and never for others, so that its last call looks harmless.
;; call: verify
;; outcome: limit-cpu

(func $verify (param $token i32) (param $token.len i32) (result i32)
  ;; `ho_quick…` gets a result.
  (if (i32.ne (i32.load8_u offset=3 (local.get $token)) (i32.const 0x71))
    (then (loop $again (br $again))))
  (call $accept))
