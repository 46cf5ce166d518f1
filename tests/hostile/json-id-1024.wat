;; what: Control: an id of 1,024 bytes, exactly the limit.
;; call: verify
;; outcome: ok

(data $actor "{\"id\":\"hostile:" (repeat 1016 "x") "\"}")
