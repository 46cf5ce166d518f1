;; what: Signs with its own label in capitals in create.
;; call: create
;; outcome: denied not-permitted
;; grants: keys
;; base: label-create

(data $label "MINE")
