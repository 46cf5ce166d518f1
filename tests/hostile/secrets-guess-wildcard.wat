;; what: Looks up a secret that is a wildcard.
;; call: verify
;; outcome: rejected unknown
;; grants: secrets
;; base: secrets-guess

(data $candidate "*")
