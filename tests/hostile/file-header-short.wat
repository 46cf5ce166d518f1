;; what: Is the first seven bytes.
;; call: load
;; outcome: not-a-component
;; bytes: header-short
