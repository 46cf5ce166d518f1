;; what: Signs with its own label between spaces in create.
;; call: create
;; outcome: denied not-permitted
;; grants: keys
;; base: label-create

(data $label " mine ")
