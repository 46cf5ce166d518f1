;; what: Writes line breaks, terminal escapes, NUL and a forged log line.
;; call: verify
;; outcome: ok

(import "keyward:handler/log@0.1.0" "write" (func $log (param i32 i32 i32)))

(data $message "one\r\n2026-01-01T00:00:00Z ERROR keyward: root logged in\1b[2J\1b]0;title\07\00\7f\c2\9b31m")
(func $verify (param i32 i32) (result i32)
  (call $log (i32.const 1) (global.get $message.ptr) (global.get $message.len))
  (call $accept))
