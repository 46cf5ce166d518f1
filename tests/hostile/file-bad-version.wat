;; what: Is a file of an unknown version of the binary format.
;; call: load
;; outcome: invalid
;; bytes: bad-version
