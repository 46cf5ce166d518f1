;; what: Is empty.
;; call: load
;; outcome: not-a-component
;; bytes: empty
