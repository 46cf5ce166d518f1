;; what: Signs and checks with the beginning of its own label.
;; call: verify
;; outcome: rejected unknown
;; grants: keys
;; base: label-of-other

(data $label "min")
