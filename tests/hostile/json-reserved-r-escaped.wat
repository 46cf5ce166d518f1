;; what: The actor sets the reserved member `_r` itself, with an escape.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",\"\\u005fr\":{}}")
