;; what: Rejects with line breaks, terminal escapes and a bidirectional override in the message.
;; call: verify
;; outcome: rejected malformed

(data $message "no\r\nX-Admin: 1\1b[2J\00\e2\80\aeon")
(func $verify (param i32 i32) (result i32)
  (call $reject (i32.const 0)))
