;; what: The name `id` occurs twice, the allowed value last.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"root\",\"id\":\"hostile:alice\"}")
