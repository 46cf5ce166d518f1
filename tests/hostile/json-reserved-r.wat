;; what: The actor names its restrictions itself.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",\"_r\":{\"a\":[\"*\"]}}")
