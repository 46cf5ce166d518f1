;; what: A no-break space precedes the actor.
;; call: verify
;; outcome: bad-result

(data $actor " {\"id\":\"hostile:alice\"}")
