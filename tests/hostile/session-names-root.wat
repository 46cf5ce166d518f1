;; what: Identifies a user that it may not vouch for.
;; call: identify
;; outcome: rejected not-permitted
;; world: token-and-session
;; base: session-benign

(data $actor "{\"id\":\"root\"}")
