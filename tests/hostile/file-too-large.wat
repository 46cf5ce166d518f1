;; what: A handler of 32 MiB and a byte.
;; call: load
;; outcome: too-large
;; bytes: over-size-limit
