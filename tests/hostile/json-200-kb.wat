;; what: 200,000 bytes of spaces precede the actor.
;; call: verify
;; outcome: rejected not-permitted

(memory $memory 8)
(global $heap (mut i32) (i32.const 0x60000))
(data $actor (repeat 200000 " ") "{\"id\":\"hostile:alice\"}")
