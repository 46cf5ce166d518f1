;; what: The actor ends in a string.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:al")
