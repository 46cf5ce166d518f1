;; what: Signs and verifies with a label that does not exist.
;; call: verify
;; outcome: rejected unknown
;; grants: keys
;; base: label-of-other

(data $label "nobody")
