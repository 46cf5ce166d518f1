;; what: The actor is an empty string.
;; call: verify
;; outcome: bad-result

(data $actor "")
