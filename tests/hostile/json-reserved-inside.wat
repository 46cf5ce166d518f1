;; what: Control: the reserved names have no meaning in an inner object.
;; call: verify
;; outcome: ok
;; actor: {"id":"hostile:alice","a":{"_r":1,"token_expires":2}}

(data $actor "{\"id\":\"hostile:alice\",\"a\":{\"_r\":1,\"token_expires\":2}}")
