;; what: Is an empty core module.
;; call: load
;; outcome: core-module
;; bytes: core-empty
