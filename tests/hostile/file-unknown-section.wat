;; what: Has a section of a kind that there is not.
;; call: load
;; outcome: invalid
;; bytes: unknown-section
