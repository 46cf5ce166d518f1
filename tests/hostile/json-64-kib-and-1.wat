;; what: The actor is one byte longer than 64 KiB.
;; call: verify
;; outcome: rejected not-permitted

(memory $memory 8)
(global $heap (mut i32) (i32.const 0x60000))
(data $actor "{\"id\":\"hostile:alice\",\"a\":\"" (repeat 65508 "x") "\"}")
