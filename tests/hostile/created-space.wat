;; what: The created token has a space.
;; call: create
;; outcome: bad-token

(data $created "ho_st ile")
