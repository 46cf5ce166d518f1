;; what: Has the allowed prefix in the middle of the actor id.
;; call: verify
;; outcome: rejected not-permitted

(data $actor "{\"id\":\"root hostile:alice\"}")
