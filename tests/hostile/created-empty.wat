;; what: The created token is empty.
;; call: create
;; outcome: bad-token

(data $created "")
