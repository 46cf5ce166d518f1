;; what: Signs and verifies with its own label in capitals.
;; call: verify
;; outcome: rejected unknown
;; grants: keys
;; base: label-of-other

(data $label "MINE")
