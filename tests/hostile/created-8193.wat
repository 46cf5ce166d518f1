;; what: The created token has 8,193 bytes.
;; call: create
;; outcome: bad-token

(data $created "ho_" (repeat 8190 "x"))
