;; what: The actor is nearly 16 KiB of open brackets.
;; call: verify
;; outcome: limit-actor-depth

(data $actor "{\"id\":\"hostile:alice\",\"a\":" (repeat 16000 "["))
