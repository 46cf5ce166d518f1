;; what: The id is empty.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"\"}")
