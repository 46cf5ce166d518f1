;; what: The created token has a character that is not ASCII.
;; call: create
;; outcome: bad-token

(data $created "ho_stilé")
