;; what: The actor names its restrictions itself, with an escape.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",\"\\u005fr\":{}}")
