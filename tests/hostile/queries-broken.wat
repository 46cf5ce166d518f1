;; what: Asks a database that is out of order, and would go on.
;; call: verify+create
;; outcome: store
;; grants: queries
;; base: queries-ask-on

(data $label "broken")
