;; what: Is only the first four bytes of a handler.
;; call: load
;; outcome: not-a-component
;; bytes: magic-only
