;; what: A string has the escape of a lone surrogate.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",\"a\":\"\\ud800\"}")
