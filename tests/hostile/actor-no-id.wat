;; what: Vouches for an actor without an id.
;; call: verify
;; outcome: rejected not-permitted

(data $actor "{\"name\":\"hostile:alice\"}")
