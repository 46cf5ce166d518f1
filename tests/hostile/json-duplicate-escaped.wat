;; what: The name `id` occurs twice, once with an escape.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",\"\\u0069d\":\"root\"}")
