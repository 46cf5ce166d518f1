;; what: Control: the actor has 64 KiB, exactly the limit.
;; call: verify
;; outcome: ok

(memory $memory 8)
(global $heap (mut i32) (i32.const 0x60000))
(data $actor "{\"id\":\"hostile:alice\",\"a\":\"" (repeat 65507 "x") "\"}")
