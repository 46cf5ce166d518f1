;; what: Is compressed.
;; call: load
;; outcome: not-a-component
;; bytes: gzip
