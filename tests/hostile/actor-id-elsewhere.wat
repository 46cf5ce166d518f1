;; what: Has an allowed id, but not as `id`.
;; call: verify
;; outcome: rejected not-permitted

(data $actor "{\"ID\":\"hostile:alice\",\"user\":{\"id\":\"hostile:alice\"}}")
