;; what: The name `id` occurs twice, the allowed value first.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",\"id\":\"root\"}")
