;; what: The actor names its expiry itself.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",\"token_expires\":253402300799}")
