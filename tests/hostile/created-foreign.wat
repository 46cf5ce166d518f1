;; what: The created token has a prefix that nobody claims.
;; call: create
;; outcome: bad-token

(data $created "dstok_abc.def")
