;; what: The created token has a percent sign.
;; call: create
;; outcome: bad-token

(data $created "ho_%0a")
