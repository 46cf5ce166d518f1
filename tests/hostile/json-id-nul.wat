;; what: The id has an escaped NUL.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:\\u0000\"}")
