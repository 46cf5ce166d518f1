;; what: Imports `http` without a grant.
;; call: load
;; outcome: not-granted
;; base: http-send-on
