;; what: Signs in `create` with a label that does not exist.
;; call: create
;; outcome: denied not-permitted
;; grants: keys
;; base: label-create

(data $label "nobody")
