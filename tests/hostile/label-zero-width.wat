;; what: Signs and verifies with its own label plus a zero-width space.
;; call: verify
;; outcome: rejected unknown
;; grants: keys
;; base: label-of-other

(data $label "mine\e2\80\8b")
