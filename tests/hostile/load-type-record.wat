;; what: Has an expiry of 32 bits in `created`.
;; call: load
;; outcome: wrong-type
;; wit: expires-at: option<u64>, => expires-at: option<u32>,
