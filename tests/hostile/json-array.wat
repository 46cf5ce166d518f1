;; what: The actor is an array.
;; call: verify
;; outcome: bad-result

(data $actor "[{\"id\":\"hostile:alice\"}]")
