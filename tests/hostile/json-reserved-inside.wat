;; what: No attack: the reserved names in an inner object mean nothing.
;; call: verify
;; outcome: ok
;; actor: {"id":"hostile:alice","a":{"_r":1,"token_expires":2}}

(data $actor "{\"id\":\"hostile:alice\",\"a\":{\"_r\":1,\"token_expires\":2}}")
