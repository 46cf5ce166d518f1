;; what: A string has an escape that there is not.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",\"a\":\"\\x41\"}")
