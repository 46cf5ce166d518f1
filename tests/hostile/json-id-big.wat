;; what: The id is an integer beyond 64 bits.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":18446744073709551616}")
