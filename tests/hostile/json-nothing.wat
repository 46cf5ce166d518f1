;; what: The actor is no text at all.
;; call: verify
;; outcome: bad-result

(data $actor "")
