;; what: No attack: the created token has 8,192 bytes, the limit itself.
;; call: create
;; outcome: ok

(data $created "ho_" (repeat 8189 "x"))
