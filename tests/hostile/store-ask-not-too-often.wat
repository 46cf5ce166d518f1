;; what: Control: looks up records as often as allowed.
;; call: verify+create
;; outcome: ok
;; grants: store
;; base: store-ask-on

(func $ask
  (local $n i32)
  (loop $again
    (call $find (global.get $message.ptr) (global.get $message.len) (global.get $out))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 16)))))
