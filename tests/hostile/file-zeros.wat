;; what: Is a file of 4 KiB of zeros.
;; call: load
;; outcome: not-a-component
;; bytes: zeros
