;; what: A space precedes the allowed beginning.
;; call: verify
;; outcome: rejected not-permitted

(data $actor "{\"id\":\" hostile:alice\"}")
