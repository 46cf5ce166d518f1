;; what: The actor is an empty object.
;; call: verify
;; outcome: bad-result

(data $actor "{}")
