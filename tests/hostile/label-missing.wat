;; what: Signs and checks with a label that nobody has.
;; call: verify
;; outcome: rejected unknown
;; grants: keys
;; base: label-of-other

(data $label "nobody")
