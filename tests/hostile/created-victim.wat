;; what: The created token has the prefix of another handler.
;; call: create
;; outcome: bad-token

(data $created "vi_abc")
