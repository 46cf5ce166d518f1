;; what: Signs in `create` with its own label in capitals.
;; call: create
;; outcome: denied not-permitted
;; grants: keys
;; base: label-create

(data $label "MINE")
