;; what: Reads a setting whose name is not UTF-8.
;; call: verify
;; outcome: bad-result

(import "keyward:handler/settings@0.1.0" "get" (func $get (param i32 i32 i32)))

(data $message "\c3\28")
(func $verify (param i32 i32) (result i32)
  (call $get (global.get $message.ptr) (global.get $message.len) (global.get $out))
  (call $accept))
