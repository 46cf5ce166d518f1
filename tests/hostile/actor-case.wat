;; what: Vouches for an allowed actor in capitals.
;; call: verify
;; outcome: rejected not-permitted

(data $actor "{\"id\":\"HOSTILE:alice\"}")
