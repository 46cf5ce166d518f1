;; what: The actor sets the reserved member `token_expires` itself.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",\"token_expires\":253402300799}")
