;; what: The actor is no UTF-8: a lone surrogate.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:\ed\a0\80\"}")
