;; what: The actor is a space.
;; call: verify
;; outcome: bad-result

(data $actor " ")
