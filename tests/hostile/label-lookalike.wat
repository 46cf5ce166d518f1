;; what: Signs and verifies with its own label with a Cyrillic і.
;; call: verify
;; outcome: rejected unknown
;; grants: keys
;; base: label-of-other

(data $label "m\d1\96ne")
