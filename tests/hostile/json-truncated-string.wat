;; what: The actor ends inside a string.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:al")
