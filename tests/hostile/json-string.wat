;; what: The actor is a string.
;; call: verify
;; outcome: bad-result

(data $actor "\"hostile:alice\"")
