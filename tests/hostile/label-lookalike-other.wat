;; what: Signs and verifies with the label of another handler with a Cyrillic о.
;; call: verify
;; outcome: rejected unknown
;; grants: keys
;; base: label-of-other

(data $label "t\d0\beken")
