;; what: Is an empty file.
;; call: load
;; outcome: not-a-component
;; bytes: empty
