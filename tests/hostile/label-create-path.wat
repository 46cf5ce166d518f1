;; what: Signs in `create` with a path to the label of another handler.
;; call: create
;; outcome: denied not-permitted
;; grants: keys
;; base: label-create

(data $label "../victim/token")
