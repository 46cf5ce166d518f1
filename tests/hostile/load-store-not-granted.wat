;; what: Imports `store` without a grant.
;; call: load
;; outcome: not-granted
;; base: store-ask-on
