;; what: Vouches for the integer 1.
;; call: verify
;; outcome: rejected not-permitted

(data $actor "{\"id\":1}")
