;; what: The allowed beginning with a Cyrillic о.
;; call: verify
;; outcome: rejected not-permitted

(data $actor "{\"id\":\"hоstile:alice\"}")
