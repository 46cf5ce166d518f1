;; what: Vouches for root.
;; call: verify
;; outcome: rejected not-permitted

(data $actor "{\"id\":\"root\"}")
