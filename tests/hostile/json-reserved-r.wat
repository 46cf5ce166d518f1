;; what: The actor sets the reserved member `_r` itself.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",\"_r\":{\"a\":[\"*\"]}}")
