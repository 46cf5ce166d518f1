;; what: A name has no quotes.
;; call: verify
;; outcome: bad-result

(data $actor "{id:\"hostile:alice\"}")
