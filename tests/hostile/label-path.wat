;; what: Signs and verifies with a path to the label of another handler.
;; call: verify
;; outcome: rejected unknown
;; grants: keys
;; base: label-of-other

(data $label "../victim/token")
