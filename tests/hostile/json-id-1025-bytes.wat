;; what: The id has 1,024 characters in 1,025 bytes.
;; call: verify
;; outcome: limit-actor-id

(data $actor "{\"id\":\"hostile:é" (repeat 1015 "x") "\"}")
