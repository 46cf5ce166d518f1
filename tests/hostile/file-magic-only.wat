;; what: Is the first four bytes.
;; call: load
;; outcome: not-a-component
;; bytes: magic-only
