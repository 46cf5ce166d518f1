;; what: Looks for NUL.
;; call: verify
;; outcome: rejected unknown
;; grants: secrets
;; base: secrets-guess

(data $candidate "\00")
