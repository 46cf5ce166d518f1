;; what: The id is three spaces, which look like no actor at all.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"   \"}")
