;; what: The created token ends with a line break.
;; call: create
;; outcome: bad-token

(data $created "ho_stile\n")
