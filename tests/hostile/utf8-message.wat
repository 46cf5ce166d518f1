;; what: The message of a rejection is not UTF-8.
;; call: verify
;; outcome: bad-result

(data $message "no \ed\b0\80")
(func $verify (param i32 i32) (result i32)
  (call $reject (i32.const 1)))
