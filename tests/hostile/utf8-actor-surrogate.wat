;; what: The actor is not UTF-8: it has a lone surrogate.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:\ed\a0\80\"}")
