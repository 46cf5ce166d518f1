;; what: No attack: the created token has every character that is allowed.
;; call: create
;; outcome: ok

(data $created "ho_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~+/=-")
