;; what: The created token has no prefix.
;; call: create
;; outcome: bad-token

(data $created "stile")
