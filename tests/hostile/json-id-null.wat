;; what: The id is null.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":null}")
