;; what: Is a handler of 32 MiB and one byte.
;; call: load
;; outcome: too-large
;; bytes: over-size-limit
