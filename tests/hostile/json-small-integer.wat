;; what: A negative integer is beyond 64 bits.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",\"n\":-9223372036854775809}")
