;; what: Is a compressed file.
;; call: load
;; outcome: not-a-component
;; bytes: gzip
