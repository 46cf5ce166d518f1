;; what: Signs in `create` with its own label between spaces.
;; call: create
;; outcome: denied not-permitted
;; grants: keys
;; base: label-create

(data $label " mine ")
