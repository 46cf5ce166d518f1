;; what: A comma follows the last member.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",}")
