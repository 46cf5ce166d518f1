;; what: Signs and verifies with its own label plus a line break.
;; call: verify
;; outcome: rejected unknown
;; grants: keys
;; base: label-of-other

(data $label "mine\n")
