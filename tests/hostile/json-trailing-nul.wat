;; what: A NUL follows the actor.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\"}\00")
