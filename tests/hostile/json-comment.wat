;; what: The actor has a comment.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\"/* really */}")
