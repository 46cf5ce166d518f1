;; what: Signs and verifies with a label of 5 KiB.
;; call: verify
;; outcome: rejected unknown
;; grants: keys
;; base: label-of-other

(data $label (repeat 5120 "m"))
