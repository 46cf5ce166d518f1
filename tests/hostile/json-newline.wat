;; what: A string has a bare line break.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",\"a\":\"\n\"}")
