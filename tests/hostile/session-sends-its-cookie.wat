;; what: Control: the host adds the cookie to the request of an endpoint.
;; call: identify
;; outcome: ok
;; grants: http
;; world: token-and-session
;; base: session-benign

(import "keyward:handler/http@0.1.0" "send" (func $send (param i32 i32 i32 i32 i32)))
(data $label "cookies")

(func $identify (type $identify)
  (call $send (global.get $label.ptr) (global.get $label.len) (i32.const 0) (i32.const 0) (global.get $out))
  (if (i32.load8_u (global.get $out)) (then unreachable))
  ;; The body is the value.
  (if (i32.ne (i32.load offset=24 (global.get $out)) (i32.load offset=12 (local.get 6))) (then unreachable))
  (call $accept))
