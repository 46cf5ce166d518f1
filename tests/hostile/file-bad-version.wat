;; what: Is of a version of the binary format that there is not.
;; call: load
;; outcome: invalid
;; bytes: bad-version
