;; what: A name occurs twice with the same value.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",\"a\":1,\"a\":1}")
