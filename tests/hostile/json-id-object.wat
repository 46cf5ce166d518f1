;; what: The id is an object.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":{\"a\":1}}")
