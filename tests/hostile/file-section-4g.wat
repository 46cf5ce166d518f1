;; what: A section says that it is 4 GiB long.
;; call: load
;; outcome: invalid
;; bytes: section-len-4g
