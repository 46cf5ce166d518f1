;; what: A number ends in its point.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",\"n\":1.}")
