;; what: Signs and checks with its own label and a letter.
;; call: verify
;; outcome: rejected unknown
;; grants: keys
;; base: label-of-other

(data $label "miner")
