;; what: Declares a section of 4 GiB.
;; call: load
;; outcome: invalid
;; bytes: section-len-4g
