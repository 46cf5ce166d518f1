;; what: Signs and checks with its own label with a combining dot.
;; call: verify
;; outcome: rejected unknown
;; grants: keys
;; base: label-of-other

(data $label "mi\cc\87ne")
