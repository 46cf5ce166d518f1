;; what: A name occurs twice in an inner object.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",\"a\":[{\"b\":1,\"b\":2}]}")
