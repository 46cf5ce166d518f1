;; what: Has a section of an unknown kind.
;; call: load
;; outcome: invalid
;; bytes: unknown-section
