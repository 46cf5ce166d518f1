;; what: The created token ends with NUL.
;; call: create
;; outcome: bad-token

(data $created "ho_stile\00")
