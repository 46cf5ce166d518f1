;; what: The created token is nottt UTF-8.
;; call: create
;; outcome: bad-result

(data $created "ho_\ff")
