;; what: The created token has a quotation mark.
;; call: create
;; outcome: bad-token

(data $created "ho_\"stile")
