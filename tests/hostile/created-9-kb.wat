;; what: The created token has 9 KiB.
;; call: create
;; outcome: bad-token

(data $created "ho_" (repeat 9213 "x"))
