;; what: Signs and verifies with the handler and the label, joined by a slash.
;; call: verify
;; outcome: rejected unknown
;; grants: keys
;; base: label-of-other

(data $label "victim/token")
