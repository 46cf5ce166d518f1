;; what: The created token has a comma.
;; call: create
;; outcome: bad-token

(data $created "ho_a,ho_b")
