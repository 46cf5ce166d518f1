;; what: Signs and verifies with a NUL followed by the label of another handler.
;; call: verify
;; outcome: rejected unknown
;; grants: keys
;; base: label-of-other

(data $label "\00token")
