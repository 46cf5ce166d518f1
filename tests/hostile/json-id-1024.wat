;; what: No attack: an id of 1,024 bytes, the limit itself.
;; call: verify
;; outcome: ok

(data $actor "{\"id\":\"hostile:" (repeat 1016 "x") "\"}")
