;; what: An integer is beyond 64 bits.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",\"n\":18446744073709551616}")
