;; what: The actor is not UTF-8: it ends with a truncated character.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:\e2\82\"}")
