;; what: Signs with a label that nobody has in create.
;; call: create
;; outcome: denied not-permitted
;; grants: keys
;; base: label-create

(data $label "nobody")
