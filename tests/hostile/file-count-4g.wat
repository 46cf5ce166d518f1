;; what: Declares four billion entries in a section of five bytes.
;; call: load
;; outcome: invalid
;; bytes: section-count-4g
