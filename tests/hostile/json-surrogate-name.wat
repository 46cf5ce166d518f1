;; what: A name has the escape of a lone surrogate.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",\"\\ud800\":1}")
