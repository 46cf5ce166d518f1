;; what: A byte more than 16 KiB.
;; call: verify
;; outcome: limit-actor-bytes

(data $actor "{\"id\":\"hostile:alice\",\"a\":\"" (repeat 16356 "x") "\"}")
