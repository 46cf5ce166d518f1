;; what: Is a core module with nothing in it.
;; call: load
;; outcome: core-module
;; bytes: core-empty
