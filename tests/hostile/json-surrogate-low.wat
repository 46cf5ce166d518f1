;; what: A string has the escape of a lone low surrogate.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",\"a\":\"\\udc00x\"}")
