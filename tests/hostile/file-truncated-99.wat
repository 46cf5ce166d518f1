;; what: Is a handler without its last bytes.
;; call: load
;; outcome: invalid
;; bytes: truncated-99
