;; what: Signs and checks with its own label and a line break.
;; call: verify
;; outcome: rejected unknown
;; grants: keys
;; base: label-of-other

(data $label "mine\n")
