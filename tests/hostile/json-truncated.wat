;; what: The actor ends in the middle.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\"")
