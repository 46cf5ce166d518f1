;; what: Is the first half of a handler.
;; call: load
;; outcome: invalid
;; bytes: truncated-50
