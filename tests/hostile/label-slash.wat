;; what: Signs and checks with handler and label.
;; call: verify
;; outcome: rejected unknown
;; grants: keys
;; base: label-of-other

(data $label "victim/token")
