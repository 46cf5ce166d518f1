;; what: A byte order mark precedes the actor.
;; call: verify
;; outcome: bad-result

(data $actor "\ef\bb\bf{\22id\22:\22hostile:alice\22}")
