;; what: Is only the first seven bytes of a handler.
;; call: load
;; outcome: not-a-component
;; bytes: header-short
