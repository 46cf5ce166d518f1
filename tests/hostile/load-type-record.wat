;; what: Has a 32-bit expiry in `created`.
;; call: load
;; outcome: wrong-type
;; wit: expires-at: option<u64>, => expires-at: option<u32>,
