;; what: The allowed beginning stands in the middle.
;; call: verify
;; outcome: rejected not-permitted

(data $actor "{\"id\":\"root hostile:alice\"}")
