;; what: A number is 1e999, which is infinite in 64 bits.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",\"n\":1e999}")
