;; what: A number is -Infinity.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",\"n\":-Infinity}")
