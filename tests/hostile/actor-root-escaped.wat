;; what: Vouches for root, written with escapes.
;; call: verify
;; outcome: rejected not-permitted

(data $actor "{\"id\":\"\\u0072oot\"}")
