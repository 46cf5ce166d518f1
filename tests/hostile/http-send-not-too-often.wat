;; what: Control: requests the operator's endpoint as often as allowed, and finds the expected response.
;; call: verify+create
;; outcome: ok
;; grants: http
;; base: http-send-on

(func $ask
  (local $n i32)
  (call $parameter (i32.const 0) (global.get $message.ptr) (global.get $message.len))
  (loop $again
    (call $request (i32.const 1))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 4))))
  ;; The status 403, with a type, and the text as its body.
  (if (i32.load8_u (global.get $out)) (then unreachable))
  (if (i32.ne (i32.load16_u offset=4 (global.get $out)) (i32.const 403)) (then unreachable))
  (if (i32.ne (i32.load8_u offset=8 (global.get $out)) (i32.const 1)) (then unreachable))
  (if (i32.ne (i32.load offset=24 (global.get $out)) (global.get $message.len)) (then unreachable)))
