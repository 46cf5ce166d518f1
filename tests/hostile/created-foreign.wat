;; what: The created token has a prefix that no handler claims.
;; call: create
;; outcome: bad-token

(data $created "dstok_abc.def")
