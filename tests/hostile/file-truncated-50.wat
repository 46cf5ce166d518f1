;; what: Is the first half of a handler.
;; call: load
;; outcome: not-a-component
;; bytes: truncated-50
