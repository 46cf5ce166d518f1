;; what: Control: the actor has 16 KiB, exactly the limit.
;; call: verify
;; outcome: ok

(data $actor "{\"id\":\"hostile:alice\",\"a\":\"" (repeat 16355 "x") "\"}")
