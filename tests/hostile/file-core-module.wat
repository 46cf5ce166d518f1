;; what: Is the core module of a handler.
;; call: load
;; outcome: core-module
;; bytes: core-module
