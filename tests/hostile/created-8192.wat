;; what: Control: the created token has 8,192 bytes, exactly the limit.
;; call: create
;; outcome: ok

(data $created "ho_" (repeat 8189 "x"))
