;; what: Puts an allowed id into a member other than `id`.
;; call: verify
;; outcome: rejected not-permitted

(data $actor "{\"ID\":\"hostile:alice\",\"user\":{\"id\":\"hostile:alice\"}}")
