;; what: The id is a number with a fraction.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":1.5}")
