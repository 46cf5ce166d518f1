;; what: Signs and verifies with a prefix of its own label.
;; call: verify
;; outcome: rejected unknown
;; grants: keys
;; base: label-of-other

(data $label "min")
