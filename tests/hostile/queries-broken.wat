;; what: Queries a database that fails, and would continue after the failure.
;; call: verify+create
;; outcome: store
;; grants: queries
;; base: queries-ask-on

(data $label "broken")
