;; what: Signs and verifies with the label `..`.
;; call: verify
;; outcome: rejected unknown
;; grants: keys
;; base: label-of-other

(data $label "..")
