;; what: Is a precompiled core module.
;; call: load
;; outcome: precompiled
;; bytes: cwasm-module
