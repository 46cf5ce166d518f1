;; what: Signs and checks with its own label in capitals.
;; call: verify
;; outcome: rejected unknown
;; grants: keys
;; base: label-of-other

(data $label "MINE")
