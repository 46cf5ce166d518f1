;; what: The id has 1,025 bytes.
;; call: verify
;; outcome: limit-actor-id

(data $actor "{\"id\":\"hostile:" (repeat 1017 "x") "\"}")
