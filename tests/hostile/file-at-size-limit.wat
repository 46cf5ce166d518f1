;; what: Control: a handler of exactly 32 MiB.
;; call: load
;; outcome: ok
;; bytes: at-size-limit
