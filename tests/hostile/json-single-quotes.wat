;; what: The actor uses single quotes.
;; call: verify
;; outcome: bad-result

(data $actor "{'id':'hostile:alice'}")
