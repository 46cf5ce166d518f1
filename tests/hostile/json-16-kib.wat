;; what: No attack: 16 KiB, the limit itself.
;; call: verify
;; outcome: ok

(data $actor "{\"id\":\"hostile:alice\",\"a\":\"" (repeat 16355 "x") "\"}")
