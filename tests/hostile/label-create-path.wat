;; what: Signs with a path to the label of another handler in create.
;; call: create
;; outcome: denied not-permitted
;; grants: keys
;; base: label-create

(data $label "../victim/token")
