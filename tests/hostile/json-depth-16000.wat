;; what: The actor is nearly 16 KiB of open brackets.
;; call: verify
;; outcome: rejected not-permitted

(data $actor "{\"id\":\"hostile:alice\",\"a\":" (repeat 16000 "["))
