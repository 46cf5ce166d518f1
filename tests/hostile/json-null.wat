;; what: The actor is null.
;; call: verify
;; outcome: bad-result

(data $actor "null")
