;; what: A section of five bytes says that it has four billion entries.
;; call: load
;; outcome: invalid
;; bytes: section-count-4g
