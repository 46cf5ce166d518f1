;; what: Makes more host calls in `create` and the new token's verification than one call may.
;; call: create
;; outcome: limit-host-calls

(import "keyward:handler/clock@0.1.0" "now" (func $now (param i32)))

(func $ask (param $times i32)
  (loop $next
    (call $now (global.get $out))
    (br_if $next (local.tee $times (i32.sub (local.get $times) (i32.const 1))))))

(func $create (type $create)
  (call $ask (i32.const 1500))
  (call $give))

(func $verify (param i32 i32) (result i32)
  (call $ask (i32.const 1500))
  (call $accept))
