;; what: Spells the allowed prefix with a Cyrillic о.
;; call: verify
;; outcome: rejected not-permitted

(data $actor "{\"id\":\"hоstile:alice\"}")
