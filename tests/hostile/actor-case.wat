;; what: Vouches for an actor in capitals.
;; call: verify
;; outcome: rejected not-permitted

(data $actor "{\"id\":\"HOSTILE:alice\"}")
