;; what: The name `id` stands twice: the allowed one last.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"root\",\"id\":\"hostile:alice\"}")
