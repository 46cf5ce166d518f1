;; what: Looks up a secret that is a NUL.
;; call: verify
;; outcome: rejected unknown
;; grants: secrets
;; base: secrets-guess

(data $candidate "\00")
