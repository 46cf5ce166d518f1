;; what: Vouches for an actor of another handler.
;; call: verify
;; outcome: rejected not-permitted

(data $actor "{\"id\":\"victim:bob\"}")
