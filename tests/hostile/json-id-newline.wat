;; what: The id has an escaped line break and a header.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:a\\r\\nX-Admin: 1\"}")
