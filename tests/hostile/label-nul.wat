;; what: Signs and checks with its own label and NUL.
;; call: verify
;; outcome: rejected unknown
;; grants: keys
;; base: label-of-other

(data $label "mine\00")
