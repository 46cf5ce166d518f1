;; what: A string has an escape that is too short.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",\"a\":\"\\u00\"}")
