;; what: Control: the created token has every allowed character.
;; call: create
;; outcome: ok

(data $created "ho_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~+/=-")
