;; what: The created token has its prefix in capitals.
;; call: create
;; outcome: bad-token

(data $created "HO_stile")
