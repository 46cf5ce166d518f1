;; what: The actor is no UTF-8: a cut character.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:\e2\82\"}")
