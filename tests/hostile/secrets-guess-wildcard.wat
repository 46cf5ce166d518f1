;; what: Looks for a wildcard.
;; call: verify
;; outcome: rejected unknown
;; grants: secrets
;; base: secrets-guess

(data $candidate "*")
