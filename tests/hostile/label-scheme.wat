;; what: Signs and verifies with the name of a scheme.
;; call: verify
;; outcome: rejected unknown
;; grants: keys
;; base: label-of-other

(data $label "hmac-sha256")
