;; what: The actor is true.
;; call: verify
;; outcome: bad-result

(data $actor "true")
