;; what: The actor is one byte longer than 16 KiB.
;; call: verify
;; outcome: limit-actor-bytes

(data $actor "{\"id\":\"hostile:alice\",\"a\":\"" (repeat 16356 "x") "\"}")
