;; what: An extra brace follows the actor.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\"}}")
