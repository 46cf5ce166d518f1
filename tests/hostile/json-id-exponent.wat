;; what: The id is a number with an exponent.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":1e3}")
