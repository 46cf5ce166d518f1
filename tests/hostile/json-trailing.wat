;; what: A second object follows the actor.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\"} {\"id\":\"root\"}")
