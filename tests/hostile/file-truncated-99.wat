;; what: Is a handler without its last bytes.
;; call: load
;; outcome: not-a-component
;; bytes: truncated-99
