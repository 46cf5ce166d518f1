;; what: The name `id` stands twice: the allowed one first.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",\"id\":\"root\"}")
