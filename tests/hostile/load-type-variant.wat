;; what: Has a case of `verdict` by another name.
;; call: load
;; outcome: wrong-type
;; wit:     not-mine, =>     not-yours,
