;; what: The actor is a number.
;; call: verify
;; outcome: bad-result

(data $actor "1")
