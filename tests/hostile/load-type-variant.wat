;; what: Gives a case of `verdict` another name.
;; call: load
;; outcome: wrong-type
;; wit:     not-mine, =>     not-yours,
