;; what: Imports `queries` without a grant.
;; call: load
;; outcome: not-granted
;; base: queries-ask-on
