;; what: The actor is not UTF-8: it has an overlong form.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:\c0\af\"}")
