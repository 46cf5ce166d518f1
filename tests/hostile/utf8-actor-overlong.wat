;; what: The actor is no UTF-8: an overlong form.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:\c0\af\"}")
