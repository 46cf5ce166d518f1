;; what: Signs and verifies with its own label between spaces.
;; call: verify
;; outcome: rejected unknown
;; grants: keys
;; base: label-of-other

(data $label " mine ")
