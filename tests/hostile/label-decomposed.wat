;; what: Signs and verifies with its own label plus a combining dot.
;; call: verify
;; outcome: rejected unknown
;; grants: keys
;; base: label-of-other

(data $label "mi\cc\87ne")
