;; what: Puts a space before the allowed prefix.
;; call: verify
;; outcome: rejected not-permitted

(data $actor "{\"id\":\" hostile:alice\"}")
