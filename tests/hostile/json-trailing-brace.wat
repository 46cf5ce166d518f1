;; what: A brace too many follows the actor.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\"}}")
