;; what: The id is true.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":true}")
