;; what: The created token is the prefix of its handler and nothing else.
;; call: create
;; outcome: bad-token

(data $created "ho_")
