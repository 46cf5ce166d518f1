;; what: The actor has a line comment.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\"}// root")
