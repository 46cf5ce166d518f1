;; what: Signs and verifies with its own label plus a letter.
;; call: verify
;; outcome: rejected unknown
;; grants: keys
;; base: label-of-other

(data $label "miner")
